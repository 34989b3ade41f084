# Squeal: keeps memcached fleets consistent with MySQL and MariaDB.
#
#   make             build every program into build/bin
#   make demo        a private MariaDB, four memcached, the whole pipeline, under load, with kills
#   make check       every test: units, fuzz corpora, headers, docs, integration with real servers
#   make check-unit  unit tests and fuzz corpora only (seconds)
#   make check-hdr   every header compiles alone
#   make check-deps  who may include whom
#   make check-docs  the generated docs say what the programs say
#   make check-compose  docker-compose.yml, Dockerfile, dashboard and alerts, without an engine
#   make check-integration   pytest with real servers only
#   make oracle      squeal with Oracle's libmysqlclient, in build/oracle/bin
#   make bench       ratios against peers, in one run
#   make bench-peers row changes against Debezium (Java 17, Maven; fetches it from Maven Central)
#   make soak        hours of random kills (SOAK_KILLS=1000 by default)
#   make fuzz        fuzz each parser (FUZZ_SECONDS=60 each by default; needs clang)
#   make docs        rewrite the generated parts of docs/ and schemas/
#   make format      clang-format the C sources;  make check-format says what would change
#   make deps        name and install the Debian packages that are missing
#   make install     into PREFIX (/usr/local), DESTDIR honoured
#   make deb         build/squeal_VERSION_ARCH.deb for Debian 12
#   make clean       remove build/
#
#   CC=clang         another compiler
#   SAN=address,undefined | thread    sanitizers, in a build folder of their own
#   DEBUG=1          -O0
#   V=1              show the commands
#   DEMO_KEEP=1      make demo leaves the system up and says how to talk to it

PREFIX  ?= /usr/local
LIBDIR  ?= $(PREFIX)/lib
PYTHON  ?= /usr/bin/python3
SAN     ?=
DEBUG   ?=
FUZZ_SECONDS ?= 60
SOAK_KILLS   ?= 1000

BUILD := build
ifneq ($(SAN),)
comma := ,
BUILD := build/$(subst $(comma),-,$(SAN))
endif
Q := $(if $(V),,@)
say = $(if $(V),@:,@echo "  $(1)")

VERSION := $(shell cat VERSION)

CPPFLAGS += -I. -I$(BUILD)/gen -D_GNU_SOURCE -DSQUEAL_VERSION='"$(VERSION)"'
OPT      := $(if $(DEBUG),-O0,$(if $(SAN),-O2,-O3 -D_FORTIFY_SOURCE=2))
ALL_CFLAGS = -std=gnu11 $(OPT) -g -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
	     -Wvla -Wpointer-arith -Wno-unused-parameter -Werror -fno-omit-frame-pointer \
	     -fstack-protector-strong -fPIC -fno-semantic-interposition -MMD -MP -pthread $(CFLAGS)
ALL_LDFLAGS = -pthread -Wl,-z,relro,-z,now $(LDFLAGS)
ifneq ($(SAN),)
ALL_CFLAGS  += -fsanitize=$(SAN) -fno-sanitize-recover=all -U_FORTIFY_SOURCE
ALL_LDFLAGS += -fsanitize=$(SAN)
endif

objs  = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))
tobjs = $(patsubst %.c,$(BUILD)/crash/%.o,$(1))

# Each module.mk adds to these.
LIBS     :=
PROGRAMS :=
TESTS    :=
FUZZERS  :=
CRASH_PROGRAMS :=
INSTALL_BIN :=
INSTALL_LIB :=
INSTALL_INC :=
GENERATED :=

all: programs

MODULES := lib/core lib/net lib/wire lib/broker lib/conf lib/route lib/rings lib/ask lib/deliver markers squeal/binlog squeal squeal/schema squeal/keys squeal/doctor \
	   router replay ctl cache-server integration
include $(patsubst %,%/module.mk,$(MODULES))

# --- how things are built -----------------------------------------------------------------------

$(BUILD)/obj/%.o: %.c | $(GENERATED)
	@mkdir -p $(@D)
	$(call say,CC      $<)
	$(Q)$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -c -o $@ $<

# The same sources with crash points compiled in; only tests run these.
$(BUILD)/crash/%.o: %.c | $(GENERATED)
	@mkdir -p $(@D)
	$(call say,CC+CRASH $<)
	$(Q)$(CC) $(CPPFLAGS) -DSQUEAL_CRASH_POINTS $(ALL_CFLAGS) -c -o $@ $<

$(BUILD)/%.a:
	@mkdir -p $(@D)
	$(call say,AR      $@)
	$(Q)rm -f $@ && $(AR) rcs $@ $(filter %.o,$^)

# A program names its objects and archives as prerequisites and its libraries in PROGRAM_LIBS.
define link_program
	@mkdir -p $(@D)
	$(call say,LD      $@)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $(filter %.o,$^) $(filter %.a,$^) $(PROGRAM_LIBS) -lpthread
endef
# Two rules: one with both patterns would mean that a single run makes both programs.
$(BUILD)/bin/%:
	$(link_program)
$(BUILD)/crash-bin/%:
	$(link_program)

# A unit test links its own object, the archives that it names, and cmocka.
$(BUILD)/test/%: $(BUILD)/obj/%.o
	@mkdir -p $(@D)
	$(call say,LD      $@)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $(filter %.o,$^) $(filter %.a,$^) -lcmocka $(TEST_LIBS) -lpthread

# A fuzz target replays its corpus through fuzz_main.c; `make fuzz` builds it against libFuzzer.
$(BUILD)/fuzz/%: $(BUILD)/obj/%.o $(BUILD)/obj/lib/core/fuzz/fuzz_main.o
	@mkdir -p $(@D)
	$(call say,LD      $@)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $(filter %.o,$^) $(filter %.a,$^) $(TEST_LIBS) -lpthread

libs: $(LIBS)
programs: $(PROGRAMS)
crash-programs: $(CRASH_PROGRAMS)

# --- tests ---------------------------------------------------------------------------------------

check: deps
	$(Q)$(MAKE) --no-print-directory check-all

check-all:
	$(Q)integration/check $(if $(SAN),unit,all)

check-unit: $(TESTS) $(FUZZERS)
	$(Q)BUILD=$(BUILD) integration/check-unit $(TESTS) -- $(FUZZERS)

check-integration: programs crash-programs
	$(Q)BUILD=$(BUILD) $(PYTHON) -m pytest -q integration $(PYTEST_ARGS)

HDRS := $(shell git ls-files '*.h' 2>/dev/null || find . -name '*.h' -not -path './build/*')
$(BUILD)/hdr/integration/%: CPPFLAGS += $(MARIADB_CFLAGS)
check-hdr: $(HDRS:%=$(BUILD)/hdr/%.ok)
$(BUILD)/hdr/%.h.ok: %.h | $(GENERATED)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(filter-out -MMD -MP,$(ALL_CFLAGS)) -fsyntax-only -x c $< && touch $@

check-deps:
	$(Q)integration/check-deps

check-docs: programs
	$(Q)BUILD=$(BUILD) integration/gen-docs --check

check-compose: programs
	$(Q)BUILD=$(BUILD) integration/check-compose

docs: programs
	$(Q)BUILD=$(BUILD) integration/gen-docs

demo: deps
	$(Q)$(MAKE) --no-print-directory programs
	$(Q)BUILD=$(BUILD) $(PYTHON) integration/demo/demo.py

bench: deps
	$(Q)$(MAKE) --no-print-directory programs $(BUILD)/bin/fill_log
	$(Q)BUILD=$(BUILD) $(PYTHON) integration/bench/bench.py

bench-peers: deps
	$(Q)$(MAKE) --no-print-directory programs
	$(Q)BUILD=$(BUILD) $(PYTHON) integration/bench/peers.py

soak: deps
	$(Q)$(MAKE) --no-print-directory programs crash-programs
	$(Q)BUILD=$(BUILD) SOAK_KILLS=$(SOAK_KILLS) $(PYTHON) -m pytest -q integration -m soak

fuzz: deps
	$(Q)integration/fuzz $(FUZZ_SECONDS)

deps:
	$(Q)integration/packages

SOURCES := $(shell git ls-files '*.c' '*.h' 2>/dev/null)
format:
	clang-format -i $(SOURCES)
check-format:
	clang-format --dry-run -Werror $(SOURCES)

install: programs
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(LIBDIR) $(DESTDIR)$(PREFIX)/include \
		$(DESTDIR)$(PREFIX)/share/man/man8 $(DESTDIR)$(PREFIX)/share/man/man3 $(DESTDIR)$(PREFIX)/share/man/man5 \
		$(DESTDIR)$(PREFIX)/share/man/man1
	install -m 755 $(INSTALL_BIN) $(DESTDIR)$(PREFIX)/bin
	cp -Pf $(INSTALL_LIB) $(DESTDIR)$(LIBDIR)
	install -m 644 $(INSTALL_INC) $(DESTDIR)$(PREFIX)/include
	install -m 644 docs/man/*.1 $(DESTDIR)$(PREFIX)/share/man/man1
	install -m 644 docs/man/*.8 $(DESTDIR)$(PREFIX)/share/man/man8
	install -m 644 docs/man/*.3 $(DESTDIR)$(PREFIX)/share/man/man3
	install -m 644 docs/man/*.5 $(DESTDIR)$(PREFIX)/share/man/man5

# What is given to others has no sanitizers in it.
deb:
	$(Q)integration/packages build deb
	$(Q)$(MAKE) --no-print-directory SAN= programs libs
	$(Q)MAKE='$(MAKE) SAN=' packaging/deb

help:
	@sed -n '/^[^#]/q;s/^# \{0,1\}//p' Makefile

clean:
	rm -rf build

.PHONY: all libs programs crash-programs check check-all check-unit check-integration check-hdr check-deps \
	check-docs check-compose docs demo bench bench-peers soak fuzz deps format check-format install deb help clean
.DELETE_ON_ERROR:
.SECONDARY:

-include $(shell find $(BUILD) -type f -name '*.d' 2>/dev/null)
