CONF_SRC := lib/conf/check.c lib/conf/cluster.c lib/conf/cluster_change.c lib/conf/endpoint.c lib/conf/host.c lib/conf/rules.c lib/conf/schema.c lib/conf/section.c lib/conf/topology.c \
	    lib/conf/topology_text.c lib/conf/yaml.c
CONF_A   := $(BUILD)/lib/conf.a
# What a program that links $(CONF_A) needs besides.
CONF_LIBS := -lyaml
LIBS     += $(CONF_A)

$(CONF_A): $(call objs,$(CONF_SRC))
$(BUILD)/crash/conf.a: $(call tobjs,$(CONF_SRC))

CONF_TESTS := $(patsubst lib/conf/test/%.c,$(BUILD)/test/lib/conf/test/%,$(wildcard lib/conf/test/test_*.c))
TESTS      += $(CONF_TESTS)
$(CONF_TESTS): $(CONF_A) $(BUILD)/lib/core.a
$(CONF_TESTS): TEST_LIBS := $(CONF_LIBS) -lxxhash

CONF_FUZZERS := $(BUILD)/fuzz/lib/conf/fuzz/fuzz_topology
FUZZERS      += $(CONF_FUZZERS)
$(CONF_FUZZERS): $(CONF_A) $(BUILD)/lib/core.a
$(CONF_FUZZERS): TEST_LIBS := $(CONF_LIBS) -lxxhash
