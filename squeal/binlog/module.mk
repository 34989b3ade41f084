# Only conn_mysql.c includes mysql.h.
BINLOG_SRC    := squeal/binlog/conn_mysql.c squeal/binlog/event.c squeal/binlog/gate_mysql.c squeal/binlog/gtid.c \
		 squeal/binlog/gtid_set.c squeal/binlog/position.c \
		 squeal/binlog/inflate.c squeal/binlog/jsonb.c squeal/binlog/number.c squeal/binlog/payload.c squeal/binlog/row_value.c squeal/binlog/rows.c \
		 squeal/binlog/source_file.c squeal/binlog/source_mysql.c squeal/binlog/table.c squeal/binlog/txn.c squeal/binlog/xid.c
BINLOG_A      := $(BUILD)/lib/binlog.a
BINLOG_CFLAGS := $(shell pkg-config --cflags libmariadb 2>/dev/null || mariadb_config --include)
BINLOG_LIBS   := $(shell pkg-config --libs libmariadb 2>/dev/null || mariadb_config --libs) -ldeflate -lzstd
LIBS          += $(BINLOG_A)

$(BINLOG_A): $(call objs,$(BINLOG_SRC))
$(BUILD)/crash/binlog.a: $(call tobjs,$(BINLOG_SRC))
$(call objs,squeal/binlog/conn_mysql.c) $(call tobjs,squeal/binlog/conn_mysql.c): CPPFLAGS += $(BINLOG_CFLAGS)

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

# Not part of any check: ns per event of a file; the gate against a server.
$(BUILD)/bin/bench_binlog: $(BUILD)/obj/squeal/binlog/bench/bench_binlog.o $(BINLOG_A) $(CORE_A)
$(BUILD)/bin/bench_gate: $(BUILD)/obj/squeal/binlog/bench/bench_gate.o $(BINLOG_A) $(CORE_A)
$(BUILD)/bin/bench_binlog $(BUILD)/bin/bench_gate: PROGRAM_LIBS := $(BINLOG_LIBS) -lxxhash
$(BUILD)/obj/squeal/binlog/bench/bench_gate.o: CPPFLAGS += $(BINLOG_CFLAGS)
