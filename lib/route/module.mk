ROUTE_SRC := lib/route/ketama.c lib/route/keyhash.c lib/route/prefixes.c lib/route/ring.c lib/route/route.c lib/route/route_explain.c
ROUTE_A   := $(BUILD)/lib/route.a
LIBS      += $(ROUTE_A)

$(ROUTE_A): $(call objs,$(ROUTE_SRC))
$(BUILD)/crash/route.a: $(call tobjs,$(ROUTE_SRC))

# Users before used.
ROUTE_NEEDS := conf core
ROUTE_LIBS  := $(CONF_LIBS) -lcrypto -lxxhash -lm

ROUTE_TESTS := $(patsubst lib/route/test/%.c,$(BUILD)/test/lib/route/test/%,$(wildcard lib/route/test/test_*.c))
TESTS       += $(ROUTE_TESTS)
$(ROUTE_TESTS): $(ROUTE_A) $(patsubst %,$(BUILD)/lib/%.a,$(ROUTE_NEEDS))
$(ROUTE_TESTS): TEST_LIBS := $(ROUTE_LIBS)
$(BUILD)/test/lib/route/test/test_ring_libmemcached: TEST_LIBS := $(ROUTE_LIBS) -lmemcached
