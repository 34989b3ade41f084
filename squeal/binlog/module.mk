BINLOG_SRC := $(filter-out squeal/binlog/%_mysql.c squeal/binlog/gate.c,$(wildcard squeal/binlog/*.c)) \
	      $(wildcard squeal/binlog/*_mysql.c) $(wildcard squeal/binlog/gate.c)
BINLOG_A   := $(BUILD)/lib/binlog.a
