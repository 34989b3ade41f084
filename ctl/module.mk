CTL_SRC := ctl/act.c ctl/command.c ctl/look.c ctl/status.c
CTL_A   := $(BUILD)/lib/ctl.a
LIBS    += $(CTL_A)

$(CTL_A): $(call objs,$(CTL_SRC))

# Users before used.
CTL_NEEDS := ask net conf core
CTL_LIBS  := $(NET_LIBS) $(CONF_LIBS) -lxxhash -lm

CTL_BIN     := $(BUILD)/bin/squealctl
PROGRAMS    += $(CTL_BIN)
INSTALL_BIN += $(CTL_BIN)
$(CTL_BIN): $(call objs,ctl/main.c) $(CTL_A) $(patsubst %,$(BUILD)/lib/%.a,$(CTL_NEEDS))
$(CTL_BIN): PROGRAM_LIBS := $(CTL_LIBS)

CTL_TESTS := $(patsubst ctl/test/%.c,$(BUILD)/test/ctl/test/%,$(wildcard ctl/test/test_*.c))
TESTS     += $(CTL_TESTS)
$(CTL_TESTS): $(CTL_A) $(patsubst %,$(BUILD)/lib/%.a,$(CTL_NEEDS))
$(CTL_TESTS): TEST_LIBS := $(CTL_LIBS)
