# Programs that tests, the demo and the benchmarks run against the real thing.
MARIADB_CFLAGS := $(shell pkg-config --cflags libmariadb 2>/dev/null || mysql_config --cflags 2>/dev/null)
MARIADB_LIBS   := $(shell pkg-config --libs libmariadb 2>/dev/null || mysql_config --libs 2>/dev/null)

INTEGRATION_DEMO_SRC := integration/demo/app.c integration/demo/cache.c integration/demo/check.c \
			integration/demo/main.c integration/demo/reader.c integration/demo/writer.c
INTEGRATION_BIN := $(BUILD)/bin/demo-app $(BUILD)/bin/stmt-tool $(BUILD)/bin/bare-loop \
		   $(BUILD)/bin/push-loop $(BUILD)/bin/cache-load
PROGRAMS += $(INTEGRATION_BIN)

$(call objs,$(INTEGRATION_DEMO_SRC) integration/tools/stmt_tool.c integration/bench/bare_loop.c): \
	CPPFLAGS += $(MARIADB_CFLAGS)

$(BUILD)/bin/demo-app: $(call objs,$(INTEGRATION_DEMO_SRC)) $(BUILD)/lib/libsqueal.a
$(BUILD)/bin/demo-app: PROGRAM_LIBS := $(MARIADB_LIBS) -lmemcached

$(BUILD)/bin/stmt-tool: $(call objs,integration/tools/stmt_tool.c)
$(BUILD)/bin/stmt-tool: PROGRAM_LIBS := $(MARIADB_LIBS)

$(BUILD)/bin/bare-loop: $(call objs,integration/bench/bare_loop.c)
$(BUILD)/bin/bare-loop: PROGRAM_LIBS := $(MARIADB_LIBS)

$(BUILD)/bin/push-loop: $(call objs,integration/bench/push_loop.c)

$(BUILD)/bin/cache-load: $(call objs,integration/bench/cache_load.c) $(CORE_A)
$(BUILD)/bin/cache-load: PROGRAM_LIBS := -lm

# The same squeal with Oracle's libmysqlclient, out of the private root of integration/server-root.  Only MYSQL_SRC
# includes mysql.h, so only that is compiled anew; the rest is what the usual squeal is linked from.  The program
# names the root's loader and library folder: its libc, TLS and C++ are the root's too, what the root lacks comes
# from this system.
ORACLE_BIN := $(BUILD)/oracle/bin/squeal
oracle: programs
	$(Q)integration/server-root mysql
	$(Q)$(MAKE) --no-print-directory $(ORACLE_BIN) ORACLE_ROOT=$$(integration/server-root mysql --path)
.PHONY: oracle

ifneq ($(ORACLE_ROOT),)
ORACLE_LIBDIR := $(patsubst %/libmysqlclient.so,%,$(wildcard $(ORACLE_ROOT)/usr/lib/*/libmysqlclient.so))
ORACLE_SRC    := squeal/binlog/conn_mysql.c squeal/binlog/library_libmysqlclient.c
ORACLE_OBJS   := $(patsubst %.c,$(BUILD)/oracle/obj/%.o,$(ORACLE_SRC)) \
		 $(call objs,$(filter-out $(MYSQL_SRC),$(BINLOG_SRC)))
ORACLE_LIBS   := $(ORACLE_LIBDIR)/libmysqlclient.so -Wl,--allow-shlib-undefined -Wl,--disable-new-dtags \
		 -Wl,-rpath,$(ORACLE_LIBDIR) -Wl,--dynamic-linker=$(wildcard $(ORACLE_LIBDIR)/ld-linux*.so.*)

# mysql.h says both <mysql.h> and <mysql/...>; the root's other headers, its libc's above all, must not be seen.
$(BUILD)/oracle/include/mysql:
	@mkdir -p $(@D)
	$(Q)ln -sfn $(ORACLE_ROOT)/usr/include/mysql $@
$(BUILD)/oracle/obj/%.o: %.c | $(GENERATED) $(BUILD)/oracle/include/mysql
	@mkdir -p $(@D)
	$(call say,CC+ORACLE $<)
	$(Q)$(CC) -I$(BUILD)/oracle/include -I$(BUILD)/oracle/include/mysql $(CPPFLAGS) $(ALL_CFLAGS) -c -o $@ $<
$(BUILD)/oracle/lib/binlog.a: $(ORACLE_OBJS)
$(ORACLE_BIN): $(call objs,$(SQUEAL_MAIN)) $(SQUEAL_A) \
	       $(BUILD)/oracle/lib/binlog.a $(patsubst %,$(BUILD)/lib/%.a,$(filter-out binlog,$(SQUEAL_DEPS)))
	$(link_program)
$(ORACLE_BIN): PROGRAM_LIBS = $(ORACLE_LIBS) $(filter-out $(MYSQL_LIBS),$(SQUEALD_LIBS))
endif
