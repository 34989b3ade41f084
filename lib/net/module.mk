NET_SRC := lib/net/address.c lib/net/admin.c lib/net/daemon.c lib/net/http.c lib/net/listener.c lib/net/loop.c \
	   lib/net/resolve.c lib/net/stream.c lib/net/tls_client.c
NET_A   := $(BUILD)/lib/net.a
# What a program that links $(NET_A) needs besides.
NET_LIBS := -levent_core -lssl -lcrypto
LIBS    += $(NET_A)

$(NET_A): $(call objs,$(NET_SRC))
$(BUILD)/crash/net.a: $(call tobjs,$(NET_SRC))

NET_TESTS := $(patsubst lib/net/test/%.c,$(BUILD)/test/lib/net/test/%,$(wildcard lib/net/test/test_*.c))
TESTS     += $(NET_TESTS)
$(NET_TESTS): $(NET_A) $(BUILD)/lib/core.a
$(NET_TESTS): TEST_LIBS := $(NET_LIBS) -lxxhash

NET_FUZZERS := $(BUILD)/fuzz/lib/net/fuzz/fuzz_http
FUZZERS     += $(NET_FUZZERS)
$(NET_FUZZERS): $(NET_A) $(BUILD)/lib/core.a
$(NET_FUZZERS): TEST_LIBS := -lxxhash
