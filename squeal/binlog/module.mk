# The client library: libmariadb (Debian's libmariadb-dev), or Oracle's libmysqlclient.
#
#   make                                           libmariadb
#   make MYSQL_LIBRARY=libmysqlclient              what pkg-config says of mysqlclient
#   make MYSQL_CONFIG=/usr/bin/mysql_config        what this program says; its library is found out
#   make MYSQL_LIBRARY=... MYSQL_CFLAGS=... MYSQL_LIBS=...
MYSQL_CONFIG  ?=
ifneq ($(MYSQL_CONFIG),)
MYSQL_CFLAGS  ?= $(shell $(MYSQL_CONFIG) --include)
MYSQL_LIBS    ?= $(shell $(MYSQL_CONFIG) --libs)
MYSQL_LIBRARY ?= $(if $(findstring mysqlclient,$(MYSQL_LIBS)),libmysqlclient,libmariadb)
endif
MYSQL_LIBRARY ?= libmariadb
ifeq ($(MYSQL_LIBRARY),libmysqlclient)
MYSQL_CFLAGS  ?= $(shell pkg-config --cflags mysqlclient)
MYSQL_LIBS    ?= $(shell pkg-config --libs mysqlclient)
else
MYSQL_CFLAGS  ?= $(shell pkg-config --cflags libmariadb 2>/dev/null || mariadb_config --include 2>/dev/null)
MYSQL_LIBS    ?= $(shell pkg-config --libs libmariadb 2>/dev/null || mariadb_config --libs 2>/dev/null)
endif
MYSQL_CFLAGS  := $(MYSQL_CFLAGS)
MYSQL_LIBS    := $(MYSQL_LIBS)

# Only these include mysql.h.
MYSQL_SRC     := squeal/binlog/conn_mysql.c squeal/binlog/library_$(MYSQL_LIBRARY).c
BINLOG_SRC    := $(MYSQL_SRC) squeal/binlog/dump.c squeal/binlog/event.c squeal/binlog/event_body.c \
		 squeal/binlog/event_format.c squeal/binlog/event_gtid.c squeal/binlog/gate.c squeal/binlog/gate_gtid.c \
		 squeal/binlog/gate_runs.c squeal/binlog/gate_tickets.c squeal/binlog/gtid.c \
		 squeal/binlog/gtid_set.c squeal/binlog/position.c squeal/binlog/refusal.c squeal/binlog/resume.c \
		 squeal/binlog/inflate.c squeal/binlog/jsonb.c squeal/binlog/number.c squeal/binlog/payload.c squeal/binlog/row_value.c squeal/binlog/rows.c \
		 squeal/binlog/source_file.c squeal/binlog/source_mysql.c squeal/binlog/source_setup.c \
		 squeal/binlog/source_start.c squeal/binlog/table.c squeal/binlog/txn.c squeal/binlog/verb.c \
		 squeal/binlog/watch.c squeal/binlog/xid.c
BINLOG_A      := $(BUILD)/lib/binlog.a
BINLOG_LIBS   := $(MYSQL_LIBS) -ldeflate -lzstd
LIBS          += $(BINLOG_A)

$(BINLOG_A): $(call objs,$(BINLOG_SRC))
$(BUILD)/crash/binlog.a: $(call tobjs,$(BINLOG_SRC))
$(call objs,$(MYSQL_SRC)) $(call tobjs,$(MYSQL_SRC)): CPPFLAGS += $(MYSQL_CFLAGS)
$(BUILD)/hdr/squeal/binlog/library.h.ok: CPPFLAGS += $(MYSQL_CFLAGS)

BINLOG_TESTS := $(patsubst squeal/binlog/test/%.c,$(BUILD)/test/squeal/binlog/test/%,$(wildcard squeal/binlog/test/test_*.c))
TESTS        += $(BINLOG_TESTS)
$(BINLOG_TESTS): $(BINLOG_A) $(CORE_A)
$(BINLOG_TESTS): TEST_LIBS := $(BINLOG_LIBS) -lxxhash

BINLOG_FUZZERS := $(BUILD)/fuzz/squeal/binlog/fuzz/fuzz_event $(BUILD)/fuzz/squeal/binlog/fuzz/fuzz_rows \
		  $(BUILD)/fuzz/squeal/binlog/fuzz/fuzz_xid \
		  $(BUILD)/fuzz/squeal/binlog/fuzz/fuzz_gtid
FUZZERS        += $(BINLOG_FUZZERS)
$(BINLOG_FUZZERS): $(BINLOG_A) $(CORE_A)
$(BINLOG_FUZZERS): TEST_LIBS := $(BINLOG_LIBS) -lxxhash

# ns per event of a file, which is no part of any check; the gate against a server (integration/test_gate.py).
PROGRAMS += $(BUILD)/bin/bench_gate
$(BUILD)/bin/bench_binlog: $(BUILD)/obj/squeal/binlog/bench/bench_binlog.o $(BINLOG_A) $(CORE_A)
$(BUILD)/bin/bench_gate: $(BUILD)/obj/squeal/binlog/bench/bench_gate.o $(BINLOG_A) $(CONF_A) $(CORE_A)
$(BUILD)/bin/bench_binlog $(BUILD)/bin/bench_gate: PROGRAM_LIBS := $(BINLOG_LIBS) $(CONF_LIBS) -lxxhash
$(BUILD)/obj/squeal/binlog/bench/bench_gate.o: CPPFLAGS += $(MYSQL_CFLAGS)
