# Programs that tests, the demo and the benchmarks run against the real thing.
MARIADB_CFLAGS := $(shell pkg-config --cflags libmariadb 2>/dev/null || mysql_config --cflags 2>/dev/null)
MARIADB_LIBS   := $(shell pkg-config --libs libmariadb 2>/dev/null || mysql_config --libs 2>/dev/null)

INTEGRATION_DEMO_SRC := integration/demo/app.c integration/demo/cache.c integration/demo/check.c \
			integration/demo/reader.c integration/demo/writer.c
INTEGRATION_BIN := $(BUILD)/bin/demo-app $(BUILD)/bin/stmt-tool $(BUILD)/bin/bare-loop
PROGRAMS += $(INTEGRATION_BIN)

$(call objs,$(INTEGRATION_DEMO_SRC) integration/tools/stmt_tool.c integration/bench/bare_loop.c): \
	CPPFLAGS += $(MARIADB_CFLAGS)

$(BUILD)/bin/demo-app: $(call objs,$(INTEGRATION_DEMO_SRC)) $(BUILD)/lib/libsqueal.a
$(BUILD)/bin/demo-app: PROGRAM_LIBS := $(MARIADB_LIBS) -lmemcached

$(BUILD)/bin/stmt-tool: $(call objs,integration/tools/stmt_tool.c)
$(BUILD)/bin/stmt-tool: PROGRAM_LIBS := $(MARIADB_LIBS)

$(BUILD)/bin/bare-loop: $(call objs,integration/bench/bare_loop.c)
$(BUILD)/bin/bare-loop: PROGRAM_LIBS := $(MARIADB_LIBS)
