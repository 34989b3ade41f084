MARKERS_SRC := markers/anchor.c markers/comment.c markers/embed.c markers/key.c markers/pair.c markers/sqllex.c \
	       markers/squeal.c
MARKERS_A   := $(BUILD)/lib/markers.a
LIBS        += $(MARKERS_A)

# Rules are the daemon's; applications need comments only.
RULE_SRC    := markers/rule.c markers/rule_pattern.c markers/rule_set.c markers/template.c

$(MARKERS_A): $(call objs,$(MARKERS_SRC) $(RULE_SRC))
$(BUILD)/crash/markers.a: $(call tobjs,$(MARKERS_SRC) $(RULE_SRC))

# What applications link: squeal_* and not one symbol more, in the archive too.
SQUEAL_SONAME   := libsqueal.so.0
SQUEAL_LIB_OBJS := $(call objs,$(MARKERS_SRC) lib/core/err.c lib/core/span.c lib/core/mem.c)
SQUEAL_LIBS     := $(BUILD)/lib/libsqueal.a $(BUILD)/lib/$(SQUEAL_SONAME) $(BUILD)/lib/libsqueal.so
LIBS            += $(SQUEAL_LIBS)
INSTALL_LIB     += $(SQUEAL_LIBS)
INSTALL_INC     += markers/squeal.h
install: $(SQUEAL_LIBS)

$(BUILD)/lib/libsqueal/squeal.o: $(SQUEAL_LIB_OBJS)
	@mkdir -p $(@D)
	$(call say,LD      $@)
	$(Q)$(LD) -r -o $@ $^ && objcopy --wildcard --keep-global-symbol='squeal_*' $@

$(BUILD)/lib/libsqueal.a: $(BUILD)/lib/libsqueal/squeal.o

$(BUILD)/lib/$(SQUEAL_SONAME): $(SQUEAL_LIB_OBJS) markers/squeal.map
	@mkdir -p $(@D)
	$(call say,LD      $@)
	$(Q)$(CC) -shared $(ALL_LDFLAGS) -Wl,-soname,$(SQUEAL_SONAME) -Wl,--version-script=markers/squeal.map \
		-o $@ $(filter %.o,$^)

$(BUILD)/lib/libsqueal.so: $(BUILD)/lib/$(SQUEAL_SONAME)
	$(Q)ln -sf $(SQUEAL_SONAME) $@

MARKERS_TESTS := $(patsubst markers/test/%.c,$(BUILD)/test/markers/test/%,$(wildcard markers/test/test_*.c))
TESTS         += $(MARKERS_TESTS)
$(MARKERS_TESTS): $(MARKERS_A) $(CONF_A) $(CORE_A)
$(MARKERS_TESTS): TEST_LIBS := $(CONF_LIBS) -lxxhash

# The public vectors as a table in C.
MARKERS_VECTORS := $(BUILD)/gen/markers/vectors.h
$(MARKERS_VECTORS): schemas/markers-vectors.json markers/test/vectors.py
	@mkdir -p $(@D)
	$(call say,GEN     $@)
	$(Q)$(PYTHON) markers/test/vectors.py table $< > $@
$(BUILD)/obj/markers/test/test_vectors.o: $(MARKERS_VECTORS)

MARKERS_FUZZERS := $(patsubst markers/fuzz/%.c,$(BUILD)/fuzz/markers/fuzz/%,$(wildcard markers/fuzz/fuzz_*.c))
FUZZERS         += $(MARKERS_FUZZERS)
$(MARKERS_FUZZERS): $(MARKERS_A) $(CONF_A) $(CORE_A)
$(MARKERS_FUZZERS): TEST_LIBS := $(CONF_LIBS) -lxxhash

# Not part of any check: ns per row.
$(BUILD)/bin/bench_rule: $(BUILD)/obj/markers/bench/bench_rule.o $(MARKERS_A) $(CONF_A) $(CORE_A)
$(BUILD)/bin/bench_rule: PROGRAM_LIBS := $(CONF_LIBS) -lxxhash
