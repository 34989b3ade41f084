ROUTE_SRC := $(addprefix lib/route/,crc.c furc.c jump.c ketama.c keyhash.c md5.c murmur.c pymemcache.c prefixes.c rendezvous.c ring.c \
	     route.c route_explain.c route_key.c spooky.c twemproxy.c wch3.c)
ROUTE_A   := $(BUILD)/lib/route.a
LIBS      += $(ROUTE_A)

$(ROUTE_A): $(call objs,$(ROUTE_SRC))
$(BUILD)/crash/route.a: $(call tobjs,$(ROUTE_SRC))

# Users before used.
ROUTE_NEEDS := conf core
ROUTE_LIBS  := $(CONF_LIBS) -lxxhash -lm

ROUTE_TESTS := $(patsubst lib/route/test/%.c,$(BUILD)/test/lib/route/test/%,$(wildcard lib/route/test/test_*.c))
TESTS       += $(ROUTE_TESTS)
$(ROUTE_TESTS): $(ROUTE_A) $(patsubst %,$(BUILD)/lib/%.a,$(ROUTE_NEEDS))
$(ROUTE_TESTS): TEST_LIBS := $(ROUTE_LIBS)
$(BUILD)/test/lib/route/test/test_md5: TEST_LIBS := $(ROUTE_LIBS) -lcrypto
$(BUILD)/test/lib/route/test/test_ring_libmemcached: TEST_LIBS := $(ROUTE_LIBS) -lmemcached -lhashkit
