#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cache-server/proto/test/talk.h"

static int
setup(void **state)
{
	struct talk *f = malloc(sizeof *f);

	talk_begin(f, NULL);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	talk_end(*state);
	free(*state);
	return 0;
}

static void
ask(struct talk *f, const char *request, const char *reply)
{
	talk_clear(f);
	talk_say(f, request, strlen(request));
	assert_string_equal(buf_str(&f->replies), reply);
}

struct exchange {
	const char *request, *reply;
};

#define KEY250                                                                                               \
	"kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk" \
	"kk"                                                                                                 \
	"kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk" \
	"kk"                                                                                                 \
	"kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk"
#define FORMAT "CLIENT_ERROR bad command line format\r\n"

/* Each line as memcached 1.6.45 answers it. */
static const struct exchange CLASSIC[] = {
    {"get a\r\n", "END\r\n"},
    {"set a 5 0 3\r\none\r\n", "STORED\r\n"},
    {"get a\r\n", "VALUE a 5 3\r\none\r\nEND\r\n"},
    {"get a\n", "VALUE a 5 3\r\none\r\nEND\r\n"},
    {"get   a   \r\n", "VALUE a 5 3\r\none\r\nEND\r\n"},
    {"get a b a\r\n", "VALUE a 5 3\r\none\r\nVALUE a 5 3\r\none\r\nEND\r\n"},
    {"get b a b\r\n", "VALUE a 5 3\r\none\r\nEND\r\n"},
    {"get a noreply\r\n", "VALUE a 5 3\r\none\r\nEND\r\n"},
    {"get\r\n", FORMAT},
    {"get \r\n", FORMAT},
    {"get     \n", FORMAT},
    {"gets\r\n", FORMAT},
    {" get a\r\n", "ERROR\r\n"},
    {"GET a\r\n", "ERROR\r\n"},
    {"getx a\r\n", "ERROR\r\n"},
    {"\r\n", FORMAT},
    {"\n", FORMAT},
    {"a\r\n", FORMAT},
    {"ab\n", FORMAT},
    {"ab\r\n", "ERROR\r\n"},
    {"what noreply\r\n", ""},
    {"what ever\r\n", "ERROR\r\n"},

    {"set a 0 0 0\r\n\r\n", "STORED\r\n"},
    {"get a\r\n", "VALUE a 0 0\r\n\r\nEND\r\n"},
    {"set a 4294967295 0 1\r\nx\r\n", "STORED\r\n"},
    {"get a\r\n", "VALUE a 4294967295 1\r\nx\r\nEND\r\n"},
    {"set  a  +1   0  1 \r\ny\r\n", "STORED\r\n"},
    {"get a\r\n", "VALUE a 1 1\r\ny\r\nEND\r\n"},
    {"set a 0 0 1 noreply\r\nz\r\n", ""},
    {"get a\r\n", "VALUE a 0 1\r\nz\r\nEND\r\n"},
    {"set a 0 -1 1\r\nz\r\n", "STORED\r\n"},
    {"get a\r\n", "END\r\n"},
    {"set a 0 0 1 whatever\r\nz\r\n", "STORED\r\n"},
    {"set " KEY250 " 0 0 1\r\nk\r\n", "STORED\r\n"},
    {"get " KEY250 "\r\n", "VALUE " KEY250 " 0 1\r\nk\r\nEND\r\n"},
    {"set k" KEY250 " 0 0 1\r\nk\r\n", FORMAT},
    {"set k" KEY250 " 0 0 1 noreply\r\nk\r\n", ""},
    {"get k" KEY250 "\r\n", FORMAT},
    {"get a k" KEY250 " a\r\n", FORMAT},
    {"get a k" KEY250 " noreply\r\n", FORMAT},
    {"get a a a a a a a a a a a a a a a a a a a a k" KEY250 "\r\n", FORMAT},
    {"gets a k" KEY250 "\r\n", FORMAT},
    {"gat 0 k" KEY250 "\r\n", FORMAT},
    {"delete k" KEY250 "\r\n", FORMAT},
    {"incr k" KEY250 " 1\r\n", FORMAT},
    {"touch k" KEY250 " 1\r\n", FORMAT},

    /* Wrong lengths: the line is refused, and what follows is taken for commands. */
    {"set a 0 0 -1\r\n", FORMAT},
    {"set a 0 0 2147483646\r\n", FORMAT},
    {"set a 0 0 99999999999\r\n", FORMAT},
    {"set a 0 0 x noreply\r\n", FORMAT},
    {"set a 0 0\r\n", FORMAT},
    {"set a\r\n", FORMAT},
    {"set\r\n", FORMAT},
    /* Other mistakes: the value is thrown away. */
    {"set a x 0 3\r\nget\r\nget a\r\n", FORMAT "VALUE a 0 1\r\nz\r\nEND\r\n"},
    {"set a -1 0 3\r\nget\r\n", FORMAT},
    {"set a 4294967296 0 3\r\nget\r\n", FORMAT},
    {"set a 0 x 3\r\nget\r\n", FORMAT},
    {"set a 0 0x 3 noreply\r\nget\r\n", ""},
    {"set a 0 0 3\r\nwrong\r\n", "CLIENT_ERROR bad data chunk\r\n" FORMAT},
    {"set a 0 0 3 noreply\r\nabcde", ""},
    {"set a 0 0 2\r\nabc\nget a\r\n", "CLIENT_ERROR bad data chunk\r\nVALUE a 0 1\r\nz\r\nEND\r\n"},

    {"add a 0 0 1\r\nn\r\n", "NOT_STORED\r\n"},
    {"add b 0 0 1\r\nn\r\n", "STORED\r\n"},
    {"replace c 0 0 1\r\nn\r\n", "NOT_STORED\r\n"},
    {"replace b 1 0 1\r\nm\r\n", "STORED\r\n"},
    {"append b 0 0 2\r\n-3\r\n", "STORED\r\n"},
    {"prepend b 0 0 2\r\n1-\r\n", "STORED\r\n"},
    {"get b\r\n", "VALUE b 1 5\r\n1-m-3\r\nEND\r\n"},
    {"append c 0 0 2\r\n-3\r\n", "NOT_STORED\r\n"},
    {"prepend c 0 0 2 noreply\r\n-3\r\n", ""},
    {"cas b 0 0 1 1844674407370955161\r\nx\r\n", "EXISTS\r\n"},
    {"cas c 0 0 1 0\r\nx\r\n", "NOT_FOUND\r\n"},
    {"cas c 0 0 1\r\nx\r\n", FORMAT},
    {"cas c 0 0 1 x\r\nx\r\n", FORMAT},
    {"cas c 0 0 1 noreply\r\nx\r\n", ""},
    {"cas c 0 0 1 7 noreply\r\nx\r\n", ""},

    {"delete b\r\n", "DELETED\r\n"},
    {"delete b\r\n", "NOT_FOUND\r\n"},
    {"delete b noreply\r\n", ""},
    {"delete noreply\r\n", ""},
    {"delete b 0\r\n", "NOT_FOUND\r\n"},
    {"delete b 0 noreply\r\n", ""},
    {"delete\r\n", FORMAT},
    {"delete b x\r\n", "CLIENT_ERROR bad command line format.  Usage: delete <key> [time] [noreply]\r\n"},
    {"delete b 2592001\r\n",
     "CLIENT_ERROR bad command line format.  Usage: delete <key> [time] [noreply]\r\n"},

    {"set n 0 0 2\r\n10\r\n", "STORED\r\n"},
    {"incr n 5\r\n", "15\r\n"},
    {"decr n 6\r\n", "9\r\n"},
    {"get n\r\n", "VALUE n 0 2\r\n9 \r\nEND\r\n"},
    {"decr n 100\r\n", "0\r\n"},
    {"incr n 18446744073709551615\r\n", "18446744073709551615\r\n"},
    {"incr n 1\r\n", "0\r\n"},
    {"incr n -1\r\n", "CLIENT_ERROR invalid numeric delta argument\r\n"},
    {"incr n x\r\n", "CLIENT_ERROR invalid numeric delta argument\r\n"},
    {"incr n 18446744073709551616\r\n", "CLIENT_ERROR invalid numeric delta argument\r\n"},
    {"incr n\r\n", FORMAT},
    {"incr none 1\r\n", "NOT_FOUND\r\n"},
    {"decr none 1\r\n", "NOT_FOUND\r\n"},
    {"incr n 1 noreply\r\n", ""},
    {"set t 0 0 4\r\ntext\r\n", "STORED\r\n"},
    {"incr t 1\r\n", "CLIENT_ERROR cannot increment or decrement non-numeric value\r\n"},
    {"incr t 1 noreply\r\n", ""},

    {"touch t 100\r\n", "TOUCHED\r\n"},
    {"touch t 100 noreply\r\n", ""},
    {"touch none 100\r\n", "NOT_FOUND\r\n"},
    {"touch t x\r\n", "CLIENT_ERROR invalid exptime argument\r\n"},
    {"touch t\r\n", FORMAT},
    {"gat 100 t none\r\n", "VALUE t 0 4\r\ntext\r\nEND\r\n"},
    {"gat 100 none\r\n", "END\r\n"},
    {"gat x t\r\n", "CLIENT_ERROR invalid exptime argument\r\n"},
    {"gat 100\r\n", FORMAT},
    {"gat\r\n", FORMAT},
    {"gats\r\n", FORMAT},
    {"gat  100   t  t  \n", "VALUE t 0 4\r\ntext\r\nVALUE t 0 4\r\ntext\r\nEND\r\n"},

    {"verbosity 1\r\n", "OK\r\n"},
    {"verbosity 1 noreply\r\n", ""},
    {"verbosity noreply\r\n", ""},
    {"verbosity\r\n", FORMAT},
    {"verbosity x\r\n", FORMAT},
    {" verbosity 2\r\n", "OK\r\n"},
    {"version\r\n",
     "VERSION 1.6.45 squeal-cache/" SQUEAL_VERSION " lease holdoff stale epoch marker parts\r\n"},
    {"version noreply\r\n",
     "VERSION 1.6.45 squeal-cache/" SQUEAL_VERSION " lease holdoff stale epoch marker parts\r\n"},
    {"shutdown\r\n", "SERVER_ERROR: shutdown not enabled\r\n"},
    {"cache_memlimit\r\n", "ERROR\r\n"},
    {"cache_memlimit x\r\n", "ERROR\r\n"},
    {"cache_memlimit 7\r\n", "MEMLIMIT_TOO_SMALL cannot set maxbytes to less than 8m\r\n"},
    {"cache_memlimit 1000000001\r\n", "MEMLIMIT_ADJUST_FAILED input value is megabytes not bytes\r\n"},
    {"cache_memlimit 1000000000\r\n", "MEMLIMIT_ADJUST_FAILED out of bounds or unable to adjust\r\n"},
    {"cache_memlimit 64\r\n", "OK\r\n"},
    {"cache_memlimit 64 noreply\r\n", ""},
    {"refresh_certs\r\n", "OK\r\n"},
    {"debugtime 1\r\n", "ERROR\r\n"},
    {"backup here\r\n", "OK begun\r\n"},
    {"backup there\r\n", "ERROR\r\n"},

    {"stats\r\n", "STAT pid 7\r\nSTAT version 1.6.45\r\nEND\r\n"},
    {"stats nothing\r\n", "ERROR\r\n"},
    {"stats reset\r\n", "RESET\r\n"},
    {"stats detail\r\n", "CLIENT_ERROR usage: stats detail on|off|dump\r\n"},
    {"stats detail x\r\n", "CLIENT_ERROR usage: stats detail on|off|dump\r\n"},
    {"stats detail on\r\n", "OK\r\n"},
    {"stats detail off\r\n", "OK\r\n"},
    {"stats detail dump\r\n", "PREFIX foo get 1 hit 1 set 1 del 0\r\nEND\r\n"},
    {"stats cachedump 1\r\n", "CLIENT_ERROR bad command line\r\n"},
    {"stats cachedump x 1\r\n", FORMAT},
    {"stats cachedump 64 1\r\n", "CLIENT_ERROR Illegal slab id\r\n"},
    {"stats cachedump 1 3\r\n", "key=1\r\nkey=2\r\nkey=3\r\nEND\r\n"},

    {"slabs reassign 1 2\r\n", "CLIENT_ERROR slab reassignment disabled\r\n"},
    {"slabs reassign 1 x\r\n", FORMAT},
    {"slabs automove 1\r\n", "OK\r\n"},
    {"slabs automove 3\r\n", "ERROR\r\n"},
    {"slabs automove x\r\n", FORMAT},
    {"slabs automove ratio 0.8\r\n", "OK\r\n"},
    {"slabs automove ratio\r\n", "ERROR\r\n"},
    {"slabs automove window 2\r\n", "CLIENT_ERROR automove window too low or too high\r\n"},
    {"slabs automove window 30\r\n", "OK\r\n"},
    {"slabs\r\n", "ERROR\r\n"},
    {"lru mode flat\r\n", "OK\r\n"},
    {"lru mode other\r\n", "ERROR\r\n"},
    {"lru tune 10 25 0.1 2.0\r\n", "OK\r\n"},
    {"lru tune 50 31 0.1 2.0\r\n", "ERROR hot and warm pcts must not exceed 80\r\n"},
    {"lru temp_ttl -1\r\n", "OK\r\n"},
    {"lru temp_ttl x\r\n", "ERROR\r\n"},
    {"lru\r\n", "ERROR\r\n"},
    {"lru_crawler enable\r\n", "OK\r\n"},
    {"lru_crawler crawl all\r\n", "OK\r\n"},
    {"lru_crawler crawl 1,2\r\n", "OK\r\n"},
    {"lru_crawler crawl x\r\n", "BADCLASS invalid class id\r\n"},
    {"lru_crawler sleep 1000001\r\n", "CLIENT_ERROR sleep must be one second or less\r\n"},
    {"lru_crawler sleep 100\r\n", "OK\r\n"},
    {"lru_crawler tocrawl x\r\n", FORMAT},
    {"lru_crawler\r\n", "ERROR\r\n"},
    {"lru_crawler metadump all\r\n", "key=1\r\nkey=2\r\nkey=3\r\nEND\r\n"},
    {"lru_crawler mgdump hash\r\n", "key=1\r\nkey=2\r\nkey=3\r\nEND\r\n"},
    {"lru_crawler metadump x\r\n", "BADCLASS invalid class id\r\n"},
    {"watch what\r\n", "ERROR\r\n"},
    {"watch evictions\r\n", "WATCHER_TOO_MANY log watcher limit reached\r\n"},

    {"flush_all x\r\n", "CLIENT_ERROR invalid exptime argument\r\n"},
    {"flush_all noreply\r\n", ""},
    {"get t\r\n", "END\r\n"},
    {"set t 0 0 1\r\nt\r\n", "STORED\r\n"},
    {"flush_all 0\r\n", "OK\r\n"},
    {"get t\r\n", "END\r\n"},
    {"set t 0 0 1\r\nt\r\n", "STORED\r\n"},
    {"flush_all -1\r\n", "OK\r\n"},
    {"get t\r\n", "END\r\n"},
    {"set t 0 0 1\r\nt\r\n", "STORED\r\n"},
    {"flush_all 100 noreply\r\n", ""},
    {"get t\r\n", "VALUE t 0 1\r\nt\r\nEND\r\n"},

    {"lease-get none\r\n", NULL},
    {"lease-get t\r\n", "VALUE t 0 1\r\nt\r\nEND\r\n"},
    {"lease-get\r\n", FORMAT},
    {"lease-set none x 0 0 1\r\nx\r\n", "CLIENT_ERROR bad lease_id\r\n"},
    {"lease-set none 1 0 0 1\r\nx\r\n", "NOT_STORED\r\n"},
    {"lease-set none 7 0 0 1 bad:epoch\r\nx\r\n", "CLIENT_ERROR bad epoch\r\n"},
    {"lease-set none 7 0 0 1 noreply\r\nx\r\n", ""},
    {"lease-set none 7 0 0\r\n", FORMAT},
    {"watermark main:3:100\r\n", "OK\r\n"},
    {"watermark main:3:100 noreply\r\n", ""},
    {"watermark x noreply\r\n", "CLIENT_ERROR bad epoch\r\n"},
    {"watermark\r\n", FORMAT},
    {"newterm main:3:100 4\r\n", "OK\r\n"},
    {"newterm main:3:100 3\r\n", "CLIENT_ERROR bad term\r\n"},
    {"newterm main:3:100\r\n", FORMAT},
    {"caughtup\r\n", "OK\r\n"},
    {"caughtup noreply\r\n", ""},
    {"caughtup 0/2\r\n", "OK\r\n"},
    {"caughtup 1/2 noreply\r\n", ""},
    {"caughtup 1790000000 0/2\r\n", "OK\r\n"},
    {"caughtup 2/2\r\n", FORMAT},
    {"caughtup 0/0\r\n", FORMAT},
    {"caughtup x/2\r\n", FORMAT},
    {"caughtup /2 noreply\r\n", FORMAT},
    {"caughtup 0/2000\r\n", "SERVER_ERROR there is no part 0 of 2000; at most 1024 parts are known\r\n"},
    {"delete h 60\r\n", "NOT_FOUND\r\n"},
    {"add h 0 0 1\r\nx\r\n", "NOT_STORED\r\n"},
    {"set h 0 0 1\r\nx\r\n", "STORED\r\n"},
};

static const struct exchange META[] = {
    {"mn\r\n", "MN\r\n"},
    {"mn what ever\r\n", "MN\r\n"},
    {"mg foo\r\n", "EN\r\n"},
    {"mg foo v k Oxyz\r\n", "EN kfoo Oxyz\r\n"},
    {"mg foo v q\r\n", ""},
    {"mg\r\n", FORMAT},
    {"mg \r\n", FORMAT},
    {"mg foo y\r\n", "CLIENT_ERROR invalid flag\r\n"},
    {"mg foo v v\r\n", "CLIENT_ERROR duplicate flag\r\n"},
    {"mg foo v v q\r\n", "CLIENT_ERROR duplicate flag\r\n"},
    {"mg foo O123456789012345678901234567890123\r\n", "CLIENT_ERROR opaque token too long\r\n"},
    {"mg k" KEY250 " v\r\n", FORMAT},
    {"mx foo\r\n", "ERROR\r\n"},
    {"ms foo 3 T0 F5 E100 c Oabc k s\r\nbar\r\n", "HD c100 Oabc kfoo s3\r\n"},
    {"ms foo 3 T0 F5 E100 q\r\nbar\r\n", ""},
    {"mg foo\r\n", "HD\r\n"},
    {"mg foo v\r\n", "VA 3\r\nbar\r\n"},
    {"mg foo v\n", "VA 3\r\nbar\r\n"},
    {"mg  foo  s  v t c f h l k Oq q\r\n", "VA 3 s3 t-1 c100 f5 h1 l0 kfoo Oq\r\nbar\r\n"},
    {"mg foo v C100\r\n", "HD\r\n"},
    {"mg foo v C101\r\n", "VA 3\r\nbar\r\n"},
    {"mg foo t T30\r\n", "HD t-1\r\n"},
    {"mg foo t\r\n", "HD t30\r\n"},
    {"mg foo T60 t\r\n", "HD t60\r\n"},
    {"mg Zm9v b v k\r\n", "VA 3 kZm9v b\r\nbar\r\n"},
    {"mg Zm9 b v k\r\n", "CLIENT_ERROR error decoding key\r\n"},
    {"mg YmFy b k O1\r\n", "EN kYmFy b O1\r\n"},
    {"me foo\r\n", NULL},
    {"me Zm9v b\r\n", NULL},
    {"me none\r\n", "EN\r\n"},
    {"me\r\n", FORMAT},

    {"ms foo S100\r\n", FORMAT},
    {"ms foo -1\r\n", FORMAT},
    {"ms foo\r\n", FORMAT},
    {"ms foo 2147483647\r\n", FORMAT},
    {"ms foo 3 y\r\nget\r\n", "CLIENT_ERROR invalid flag\r\n"},
    {"ms foo 3 Mx\r\nget\r\n", "CLIENT_ERROR invalid mode for ms M token\r\n"},
    {"ms foo 3 Tx q\r\nget\r\n", "CLIENT_ERROR bad token in command line format\r\n"},
    {"ms foo 3 O123456789012345678901234567890123 q\r\nget\r\n", "CLIENT_ERROR opaque token too long\r\n"},
    {"ms foo 3 q\r\nabcd\r", "CLIENT_ERROR bad data chunk\r\n"},
    {"mg foo v\r\n", "VA 3\r\nbar\r\n"},
    {"ms foo 3 ME\r\nnew\r\n", "NS\r\n"},
    {"ms foo 3 ME q\r\nnew\r\n", "NS\r\n"},
    {"ms bar 3 MR k O1\r\nnew\r\n", "NS kbar O1\r\n"},
    {"ms foo 1 MA s\r\n!\r\n", "HD s4\r\n"},
    {"ms foo 1 MP s\r\n?\r\n", "HD s5\r\n"},
    {"ms bar 1 MA N0 s c E7\r\n+\r\n", "HD s1 c7\r\n"},
    {"mg foo v f\r\n", "VA 5 f5\r\n?bar!\r\n"},
    {"ms foo 3 C1 c\r\nnew\r\n", "EX c0\r\n"},
    {"ms none 3 C1\r\nnew\r\n", "NF\r\n"},
    {"ms none 3 C1 MR\r\nnew\r\n", "NF\r\n"},
    {"ms cas 1 E50\r\n1\r\n", "HD\r\n"},
    {"ms cas 1 C50 E51 c\r\n2\r\n", "HD c51\r\n"},
    {"ms cas 1 C40 I E52\r\n3\r\n", "HD\r\n"},
    {"mg cas v c\r\n", "VA 1 c52 X W\r\n3\r\n"},
    {"mg cas v c\r\n", "VA 1 c52 Z X\r\n3\r\n"},
    {"ms " KEY250 " 1\r\n1\r\n", "HD\r\n"},
    {"ms k" KEY250 " 1\r\n1\r\n", FORMAT},

    {"mg viv N30 v s t\r\n", "VA 0 s0 t30 W\r\n\r\n"},
    {"mg viv N30 v\r\n", "VA 0 Z\r\n\r\n"},
    {"ms viv 1 T30\r\n1\r\n", "HD\r\n"},
    {"mg viv R10 v\r\n", "VA 1\r\n1\r\n"},
    {"mg viv R60 v\r\n", "VA 1 W\r\n1\r\n"},
    {"mg viv R60 v\r\n", "VA 1 Z\r\n1\r\n"},

    {"md none\r\n", "NF\r\n"},
    {"md none q k\r\n", "NF knone\r\n"},
    {"md viv C1\r\n", "EX\r\n"},
    {"md viv I T30 k O1\r\n", "HD kviv O1\r\n"},
    {"mg viv s t\r\n", "HD s1 t30 X W\r\n"},
    {"md viv x\r\n", "HD\r\n"},
    {"mg viv s v f\r\n", NULL},
    {"md viv q\r\n", ""},
    {"mg viv\r\n", "EN\r\n"},
    {"md\r\n", FORMAT},

    {"ma n\r\n", "NF\r\n"},
    {"ma n k O1 q\r\n", "NF kn O1\r\n"},
    {"ma n N0 J13 v t\r\n", "VA 2 t-1\r\n13\r\n"},
    {"ma n N0 J13 v t\r\n", "VA 2 t-1\r\n14\r\n"},
    {"ma n D30 v\r\n", "VA 2\r\n44\r\n"},
    {"ma n MD D40 v\r\n", "VA 1\r\n4\r\n"},
    {"ma n M- D40 v E9 c\r\n", "VA 1 c9\r\n0\r\n"},
    {"ma n C8\r\n", "EX\r\n"},
    {"ma n C9 q\r\n", ""},
    {"ma n k O1\r\n", "HD kn O1\r\n"},
    {"ma n Mx\r\n", "CLIENT_ERROR invalid mode for ma M token\r\n"},
    {"ma n Dx\r\n", "CLIENT_ERROR invalid or duplicate flag\r\n"},
    {"ma n y q\r\n", "CLIENT_ERROR invalid or duplicate flag\r\n"},
    {"ma foo q\r\n", "CLIENT_ERROR cannot increment or decrement non-numeric value\r\n"},
    {"ma\r\n", FORMAT},

    {"watermark main:3:100\r\n", "OK\r\n"},
    {"md user Amain:3:107\r\n", "NF\r\n"},
    {"ms user 3 Amain:3:107\r\nold\r\n", "NS\r\n"},
    {"ms user 3 Amain:3:108\r\nnew\r\n", "HD\r\n"},
    {"md user Amain:3:107\r\n", "NF\r\n"},
    {"mg user v a\r\n", "VA 3 amain:3:108\r\nnew\r\n"},
    {"mg user v Amain:3:121\r\n", "EN\r\n"},
    {"mg cas a v\r\n", NULL},
    {"md user A main:3:107\r\n", NULL},
    {"ms user 3 Ax q\r\nget\r\n", "CLIENT_ERROR bad epoch\r\n"},
    {"md hold H1500\r\n", "NF\r\n"},
    {"ms hold 1 ME\r\n1\r\n", "NS\r\n"},
    {"md hold H2592000001\r\n", "CLIENT_ERROR bad token in command line format\r\n"},
};

static void
run_table(struct talk *f, const struct exchange *table, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		talk_clear(f);
		talk_say(f, table[i].request, strlen(table[i].request));
		if (table[i].reply == NULL) {
			assert_true(f->replies.len > 0);
			continue;
		}
		if (strcmp(buf_str(&f->replies), table[i].reply) != 0)
			print_error("after: %s", table[i].request);
		assert_string_equal(buf_str(&f->replies), table[i].reply);
		assert_int_equal(f->in.len, 0);
		assert_false(f->closed);
	}
}

static void
classic_commands_are_answered_as_by_memcached(void **state)
{
	run_table(*state, CLASSIC, sizeof CLASSIC / sizeof *CLASSIC);
}

static void
meta_commands_are_answered_as_by_memcached(void **state)
{
	run_table(*state, META, sizeof META / sizeof *META);
}

/* Not what is random, and not what looks at what is pending. */
static bool
is_streamed(const struct exchange *x)
{
	return x->reply != NULL && strncmp(x->request, "watch", 5) != 0 &&
	       strncmp(x->request, "lru_crawler m", 13) != 0;
}

/* The whole table as one stream, cut into pieces of `piece` bytes, the first of them after `first`. */
static char *
replies_to(const struct exchange *table, size_t n, size_t first, size_t piece)
{
	struct buf stream = BUF_INIT;
	struct talk f;
	char *replies;

	talk_begin(&f, NULL);
	for (size_t i = 0; i < n; i++)
		if (is_streamed(&table[i]))
			buf_put_str(&stream, table[i].request);
	while (stream.len > 0) {
		size_t some = first ? first : piece;

		some = some < stream.len ? some : stream.len;
		first = 0;
		talk_say(&f, stream.p, some);
		buf_take(&stream, some);
	}
	assert_int_equal(f.in.len, 0);
	replies = strdup(buf_str(&f.replies));
	buf_fini(&stream);
	talk_end(&f);
	return replies;
}

static void
same_replies(const char *some, const char *whole)
{
	size_t at = 0;

	while (some[at] && some[at] == whole[at])
		at++;
	if (some[at] != whole[at])
		print_error("from byte %zu on:\n%.200s\n--- not\n%.200s\n", at, some + at, whole + at);
	assert_int_equal(some[at], whole[at]);
}

static void
pieces_do_not_matter(const struct exchange *table, size_t n)
{
	static const size_t PIECES[] = {1, 2, 3, 7, 16, 100, 1000};
	char *whole = replies_to(table, n, 0, SIZE_MAX);
	struct buf expected = BUF_INIT;
	char *some;

	for (size_t i = 0; i < n; i++)
		if (is_streamed(&table[i]))
			buf_put_str(&expected, table[i].reply);
	same_replies(whole, buf_str(&expected));
	buf_fini(&expected);
	for (size_t i = 0; i < sizeof PIECES / sizeof *PIECES; i++) {
		some = replies_to(table, n, 0, PIECES[i]);
		same_replies(some, whole);
		free(some);
	}
	for (size_t first = 1; first < 4000; first += 97) {
		some = replies_to(table, n, first, 1500);
		same_replies(some, whole);
		free(some);
	}
	free(whole);
}

static void
replies_do_not_depend_on_how_a_request_was_cut(void **state)
{
	pieces_do_not_matter(CLASSIC, sizeof CLASSIC / sizeof *CLASSIC);
	pieces_do_not_matter(META, sizeof META / sizeof *META);
}

static void
every_cut_of_every_request_is_the_same(void **state)
{
	struct talk *f = *state;

	for (size_t i = 0; i < sizeof META / sizeof *META; i++) {
		const struct exchange *x = &META[i];
		size_t len = strlen(x->request);

		/* Those that change nothing, so that they can be repeated. */
		if (x->reply == NULL || strncmp(x->request, "mg", 2) != 0 || strncmp(x->reply, "EN", 2) == 0)
			continue;
		if (strncmp(x->reply, "CLIENT", 6) != 0)
			continue;
		for (size_t cut = 1; cut < len; cut++) {
			talk_clear(f);
			talk_say(f, x->request, cut);
			assert_int_equal(f->replies.len, 0);
			talk_say(f, x->request + cut, len - cut);
			assert_string_equal(buf_str(&f->replies), x->reply);
		}
	}
}

static uint64_t
cas_of(struct talk *f, const char *key)
{
	unsigned long long cas = 0;
	char request[300];

	snprintf(request, sizeof request, "gets %s\r\n", key);
	talk_clear(f);
	talk_say(f, request, strlen(request));
	assert_int_equal(sscanf(buf_str(&f->replies), "VALUE %*s %*u %*u %llu\r\n", &cas), 1);
	return cas;
}

static void
cas_of_gets_stores_once(void **state)
{
	struct talk *f = *state;
	char request[100];
	uint64_t cas;

	ask(f, "set a 0 0 1\r\n1\r\n", "STORED\r\n");
	cas = cas_of(f, "a");
	snprintf(request, sizeof request, "cas a 0 0 1 %llu\r\n2\r\n", (unsigned long long)cas);
	ask(f, request, "STORED\r\n");
	ask(f, request, "EXISTS\r\n");
	assert_true(cas_of(f, "a") > cas);
	snprintf(request, sizeof request, "gats 0 a\r\n");
	talk_clear(f);
	talk_say(f, request, strlen(request));
	assert_int_equal(sscanf(buf_str(&f->replies), "VALUE a 0 1 %*u\r\n2\r\nEND%c", request), 1);
}

static void
lease_is_given_once_and_good_once(void **state)
{
	struct talk *f = *state;
	unsigned long long token = 0;
	char request[100];

	talk_clear(f);
	talk_say(f, "lease-get a\r\n", 13);
	assert_int_equal(sscanf(buf_str(&f->replies), "LVALUE a %llu 0 0\r\n\r\nEND", &token), 1);
	assert_true(token > 1);
	ask(f, "lease-get a\r\n", "LVALUE a 1 0 0\r\n\r\nEND\r\n");
	snprintf(request, sizeof request, "lease-set a %llu 7 0 5\r\nalice\r\n", token);
	ask(f, request, "STORED\r\n");
	ask(f, request, "NOT_STORED\r\n");
	ask(f, "lease-get a\r\n", "VALUE a 7 5\r\nalice\r\nEND\r\n");
}

static void
expired_items_are_gone(void **state)
{
	struct talk *f = *state;

	f->limits.debug_commands = true;
	ask(f, "set a 0 10 1\r\n1\r\n", "STORED\r\n");
	ask(f, "debugtime 9\r\n", "OK\r\n");
	ask(f, "get a\r\n", "VALUE a 0 1\r\n1\r\nEND\r\n");
	ask(f, "debugtime 1\r\n", "OK\r\n");
	ask(f, "get a\r\n", "END\r\n");
	ask(f, "set a 0 10 1\r\n1\r\ndebugtime p\r\n", "STORED\r\nOK\r\n");
	clock_fake_advance_ms(&f->clock, 60000);
	cache_second(f->cache);
	ask(f, "get a\r\n", "VALUE a 0 1\r\n1\r\nEND\r\n");
	ask(f, "debugtime r\r\n", "OK\r\n");
	clock_fake_advance_ms(&f->clock, 9000);
	cache_second(f->cache);
	ask(f, "get a\r\n", "VALUE a 0 1\r\n1\r\nEND\r\n");
	clock_fake_advance_ms(&f->clock, 1000);
	cache_second(f->cache);
	ask(f, "get a\r\n", "END\r\n");
	ask(f, "debugtime x\r\n", "ERROR\r\n");
	ask(f, "debugtime\r\n", "ERROR\r\n");
}

static void
delayed_flush_comes_when_it_is_due(void **state)
{
	struct talk *f = *state;

	f->limits.debug_commands = true;
	ask(f, "set a 0 0 1\r\n1\r\nflush_all 10\r\n", "STORED\r\nOK\r\n");
	ask(f, "debugtime 8\r\nget a\r\n", "OK\r\nVALUE a 0 1\r\n1\r\nEND\r\n");
	ask(f, "debugtime 2\r\nget a\r\n", "OK\r\nEND\r\n");
}

static void
http_verbs_close_the_connection(void **state)
{
	struct talk *f = *state;

	ask(f, "GET / HTTP/1.1\r\nset a 0 0 1\r\n1\r\n", "");
	assert_true(f->closed);
	talk_reconnect(f);
	ask(f, "POST /x HTTP/1.0\r\n", "");
	assert_true(f->closed);
	talk_reconnect(f);
	ask(f, "get a\r\n", "END\r\n");
}

static void
quit_closes_after_what_was_asked_before(void **state)
{
	struct talk *f = *state;

	ask(f, "get a\r\nquit\r\nget b\r\n", "END\r\n");
	assert_true(f->closed);
}

static void
line_without_an_end_is_not_waited_for(void **state)
{
	struct talk *f = *state;
	char junk[4096];

	memset(junk, 'x', sizeof junk);
	talk_say(f, junk, 2048);
	assert_false(f->closed);
	talk_say(f, junk, 1);
	assert_true(f->closed);
	talk_reconnect(f);
	memcpy(junk, "gat 0 ", 6);
	talk_say(f, junk, sizeof junk);
	assert_true(f->closed);
	talk_reconnect(f);
	memcpy(junk, "mg kkk", 6);
	talk_say(f, junk, sizeof junk);
	assert_true(f->closed);
}

/* Keys are taken as they come: nothing of a long get is kept but the key that is not whole. */
static void
get_of_ten_thousand_keys_is_answered_in_parts(void **state)
{
	struct talk *f = *state;
	struct buf request = BUF_INIT, reply = BUF_INIT;
	size_t most = 0;

	f->limits.max_pending = 4096;
	for (int i = 0; i < 10000; i++) {
		buf_printf(&request, "set key:%d 0 0 8 noreply\r\n%08d\r\n", i, i);
		buf_printf(&reply, "VALUE key:%d 0 8\r\n%08d\r\n", i, i);
	}
	buf_put_str(&reply, "END\r\nVALUE key:1 0 8\r\n00000001\r\nEND\r\n");
	talk_say(f, request.p, request.len);
	buf_clear(&request);
	buf_put_str(&request, "get ");
	for (int i = 0; i < 10000; i++)
		buf_printf(&request, "key:%d none ", i);
	buf_put_str(&request, "\r\nget key:1\r\n");
	for (int pass = 0; pass < 2; pass++) {
		talk_clear(f);
		for (size_t at = 0; at < request.len;) {
			size_t some = pass == 0 ? request.len : 1000;

			some = some < request.len - at ? some : request.len - at;
			talk_say(f, request.p + at, some);
			at += some;
			most = f->in.len > most ? f->in.len : most;
		}
		assert_int_equal(f->replies.len, reply.len);
		assert_memory_equal(f->replies.p, reply.p, reply.len);
	}
	assert_true(most <= 2048);
	assert_false(f->closed);
	buf_fini(&request);
	buf_fini(&reply);
}

static void
over_long_key_late_in_a_long_get_is_one_error(void **state)
{
	struct talk *f = *state;
	struct buf request = BUF_INIT;

	ask(f, "set a 0 0 1\r\n1\r\n", "STORED\r\n");
	buf_put_str(&request, "get");
	for (int i = 0; i < 2000; i++)
		buf_put_str(&request, " a");
	buf_put_str(&request, " k" KEY250 " a\r\nget a\r\n");
	ask(f, buf_str(&request), FORMAT "VALUE a 0 1\r\n1\r\nEND\r\n");
	/* The same without its end: the rest of the line is thrown away when it comes. */
	talk_clear(f);
	talk_say(f, request.p, 4000);
	talk_clear(f);
	talk_say(f, request.p + 4000, request.len - 4000 - 12);
	talk_say(f, "zzzzzz zzzzzz", 13);
	talk_say(f, request.p + request.len - 12, 12);
	assert_non_null(strstr(buf_str(&f->replies), FORMAT "VALUE a 0 1\r\n1\r\nEND\r\n"));
	buf_fini(&request);
}

static void
pipelined_gets_are_answered_in_order(void **state)
{
	struct talk *f = *state;
	struct buf request = BUF_INIT, reply = BUF_INIT;

	for (unsigned requests = 0; requests < 2; requests++) {
		f->limits.max_requests = requests * 20;
		buf_clear(&request);
		buf_clear(&reply);
		for (int i = 0; i < 100; i++) {
			buf_printf(&request, "set k%d 0 0 2\r\n%02d\r\n", i % 30, i);
			buf_printf(&reply, "STORED\r\n");
			for (int j = 0; j < i; j++) {
				buf_printf(&request, j % 7 ? "get k%d\r\n" : "get k%d  none\n", i % 30);
				buf_printf(&reply, "VALUE k%d 0 2\r\n%02d\r\nEND\r\n", i % 30, i);
			}
		}
		talk_clear(f);
		f->feeds = 0;
		talk_say(f, request.p, request.len);
		assert_int_equal(f->replies.len, reply.len);
		assert_memory_equal(f->replies.p, reply.p, reply.len);
		assert_true(requests == 0 ? f->feeds < 10 : f->feeds > 200);
	}
	buf_fini(&request);
	buf_fini(&reply);
}

/* Values of every size around the limits: waited for, copied, sent from the store, put there as they come. */
static void
values_of_every_size_come_back(void **state)
{
	static const size_t SIZES[] = {0,     1,     7,	    1000,  2047,  2048,	 4096,	 16300,	 16350,
				       16384, 16385, 20000, 32768, 65530, 65536, 100000, 300000, 900000};
	static const size_t PIECES[] = {SIZE_MAX, 16384, 1000};
	struct talk *f = *state;

	for (size_t i = 0; i < sizeof SIZES / sizeof *SIZES; i++) {
		char *value = malloc(SIZES[i] + 1);

		for (size_t p = 0; p < 3; p++) {
			struct buf request = BUF_INIT, reply = BUF_INIT;

			for (size_t j = 0; j < SIZES[i]; j++)
				value[j] = (char)('a' + (j * 7 + i + p) % 26);
			buf_printf(&request, "set v 3 0 %zu\r\n", SIZES[i]);
			buf_put(&request, value, SIZES[i]);
			buf_printf(&request, "\r\nget v v\r\nms w %zu s k Oabc\r\n", SIZES[i]);
			buf_put(&request, value, SIZES[i]);
			buf_put_str(&request, "\r\nmg w v\r\n");
			buf_put_str(&reply, "STORED\r\n");
			for (int twice = 0; twice < 2; twice++) {
				buf_printf(&reply, "VALUE v 3 %zu\r\n", SIZES[i]);
				buf_put(&reply, value, SIZES[i]);
				buf_put_str(&reply, "\r\n");
			}
			buf_printf(&reply, "END\r\nHD s%zu kw Oabc\r\nVA %zu\r\n", SIZES[i], SIZES[i]);
			buf_put(&reply, value, SIZES[i]);
			buf_put_str(&reply, "\r\n");
			talk_clear(f);
			for (size_t at = 0; at < request.len;) {
				size_t some = request.len - at;

				some = PIECES[p] < some ? PIECES[p] : some;
				talk_say(f, request.p + at, some);
				at += some;
			}
			assert_int_equal(f->replies.len, reply.len);
			assert_memory_equal(f->replies.p, reply.p, reply.len);
			buf_fini(&request);
			buf_fini(&reply);
		}
		free(value);
	}
}

static void
too_large_is_swallowed_and_takes_the_old_value_along(void **state)
{
	struct talk *f = *state;
	struct buf request = BUF_INIT;
	char *value = malloc(1048577);

	memset(value, 'v', 1048577);
	ask(f, "set a 0 0 1\r\n1\r\nset b 0 0 1\r\n1\r\n", "STORED\r\nSTORED\r\n");
	for (int how = 0; how < 3; how++) {
		static const char *const LINE[] = {"add b 0 0 1048577\r\n", "set a 0 0 1048577\r\n",
						   "ms b 1048577 q\r\n"};

		buf_clear(&request);
		buf_put_str(&request, LINE[how]);
		buf_put(&request, value, 1048577);
		buf_put_str(&request, "\r\n");
		talk_clear(f);
		talk_say(f, request.p, 1000);
		talk_say(f, request.p + 1000, request.len - 1000);
		assert_string_equal(buf_str(&f->replies), "SERVER_ERROR object too large for cache\r\n");
		if (how == 0)
			ask(f, "get b\r\n", "VALUE b 0 1\r\n1\r\nEND\r\n");
	}
	ask(f, "get a b\r\n", "END\r\n");
	buf_clear(&request);
	buf_put_str(&request, "set a 0 0 1048577 noreply\r\n");
	buf_put(&request, value, 1048577);
	buf_put_str(&request, "\r\nget a\r\n");
	ask(f, buf_str(&request), "END\r\n");
	buf_fini(&request);
	free(value);
}

static void
large_value_with_a_wrong_end_is_not_stored(void **state)
{
	struct talk *f = *state;
	char value[40000];

	memset(value, 'v', sizeof value);
	ask(f, "set a 0 0 40000\r\n", "");
	talk_say(f, value, sizeof value);
	assert_int_equal(f->session.want, SESSION_SINK);
	talk_say(f, "\r", 1);
	talk_say(f, "x", 1);
	assert_string_equal(buf_str(&f->replies), "CLIENT_ERROR bad data chunk\r\n");
	ask(f, "get a\r\n", "END\r\n");
	/* A connection that goes away in the middle leaves nothing. */
	ask(f, "set a 0 0 40000\r\n", "");
	talk_say(f, value, 30000);
	talk_reconnect(f);
	ask(f, "get a\r\n", "END\r\n");
}

static void
nothing_is_done_before_authentication(void **state)
{
	struct talk *f = *state;
	struct cache_counters counters;

	f->limits.needs_auth = true;
	ask(f, "get a\r\n", "CLIENT_ERROR unauthenticated\r\n");
	ask(f, "version\r\n", "CLIENT_ERROR unauthenticated\r\n");
	ask(f, "set a 0 0 x\r\n", "CLIENT_ERROR unauthenticated\r\n");
	ask(f, "set a 0 0 20000\r\n", "CLIENT_ERROR auth token too long\r\n");
	ask(f, "set a 0 0 4\r\nuser\r\n", "CLIENT_ERROR bad authentication token format\r\n");
	ask(f, "set a 0 0 9\r\nuser wrong..", "CLIENT_ERROR bad command line termination\r\n");
	talk_reconnect(f);
	ask(f, "set a 0 0 10\r\nuser wrong\r\n", "CLIENT_ERROR authentication failure\r\n");
	ask(f, "set auth 1 2 14 noreply\r\nuser pass wor", "");
	talk_say(f, "d\r\nget a\r\n", 10);
	assert_string_equal(buf_str(&f->replies), "STORED\r\nEND\r\n");
	cache_counters(f->cache, &counters);
	assert_int_equal(counters.auth_cmds, 2);
	assert_int_equal(counters.auth_errors, 1);
	talk_reconnect(f);
	ask(f, "set\r\n", "");
	assert_true(f->closed);
}

static void
what_is_not_allowed_is_refused(void **state)
{
	struct talk *f = *state;

	f->limits.no_flush = f->limits.no_dump = f->limits.no_watch = true;
	ask(f, "flush_all\r\n", "CLIENT_ERROR flush_all not allowed\r\n");
	ask(f, "stats detail on\r\n", "CLIENT_ERROR stats detail not allowed\r\n");
	ask(f, "stats cachedump 1 1\r\n", "CLIENT_ERROR stats cachedump not allowed\r\n");
	ask(f, "lru_crawler metadump all\r\n", "ERROR metadump not allowed\r\n");
	ask(f, "lru_crawler mgdump all\r\n", "ERROR key dump not allowed\r\n");
	ask(f, "watch\r\n", "CLIENT_ERROR watch commands not allowed\r\n");
}

static void
dump_and_watch_are_not_pipelined(void **state)
{
	struct talk *f = *state;

	ask(f, "mn\r\nwatch\r\n", "MN\r\nERROR cannot pipeline other commands before watch\r\n");
	ask(f, "mn\r\nlru_crawler metadump all\r\n",
	    "MN\r\nERROR cannot pipeline other commands before metadump\r\n");
	f->may_dump = false;
	ask(f, "lru_crawler metadump all\r\n", "BUSY currently processing crawler request\r\n");
	f->may_dump = true;
	f->limits.max_pending = 1;
	ask(f, "lru_crawler metadump all\r\nmn\r\n", "key=1\r\nkey=2\r\nkey=3\r\nEND\r\nMN\r\n");
	ask(f, "watch mutations deletions\r\n", "OK\r\n");
	assert_true(f->watching);
}

static void
shutdown_is_passed_on(void **state)
{
	struct talk *f = *state;

	f->limits.may_shutdown = true;
	ask(f, "shutdown now\r\n", "CLIENT_ERROR invalid shutdown mode\r\n");
	assert_false(f->shutdown);
	ask(f, "shutdown graceful\r\n", "");
	assert_true(f->shutdown && f->graceful && f->closed);
}

static void
commands_are_counted_as_memcached_counts(void **state)
{
	struct talk *f = *state;
	struct cache_counters n;

	ask(f, "set a 0 0 1\r\n1\r\n", "STORED\r\n");
	ask(f, "get a b a\r\n", "VALUE a 0 1\r\n1\r\nVALUE a 0 1\r\n1\r\nEND\r\n");
	ask(f, "incr a 1\r\ndecr a 1\r\nincr b 1\r\ndecr b 1\r\n", "2\r\n1\r\nNOT_FOUND\r\nNOT_FOUND\r\n");
	ask(f, "touch a 0\r\ntouch b 0\r\n", "TOUCHED\r\nNOT_FOUND\r\n");
	/* gat is a touch and no get. */
	ask(f, "gat 0 a b\r\n", "VALUE a 0 1\r\n1\r\nEND\r\n");
	ask(f, "delete a\r\ndelete b\r\n", "DELETED\r\nNOT_FOUND\r\n");
	ask(f, "me a\r\nflush_all\r\n", "EN\r\nOK\r\n");
	cache_counters(f->cache, &n);
	assert_int_equal(n.cmd_set, 1);
	assert_int_equal(n.cmd_get, 3);
	assert_int_equal(n.get_hits, 2);
	assert_int_equal(n.get_misses, 1);
	assert_int_equal(n.incr_hits, 1);
	assert_int_equal(n.incr_misses, 1);
	assert_int_equal(n.decr_hits, 1);
	assert_int_equal(n.decr_misses, 1);
	assert_int_equal(n.cmd_touch, 4);
	assert_int_equal(n.touch_hits, 2);
	assert_int_equal(n.touch_misses, 2);
	assert_int_equal(n.delete_hits, 1);
	assert_int_equal(n.delete_misses, 1);
	assert_int_equal(n.cmd_meta, 1);
	assert_int_equal(n.cmd_flush, 1);
}

static void
notes_are_given_when_they_are_wanted(void **state)
{
	struct talk *f = *state;

	ask(f, "set a 0 0 1\r\n1\r\nget a b\r\n", "STORED\r\nVALUE a 0 1\r\n1\r\nEND\r\n");
	assert_int_equal(f->notes, 0);
	f->session.host.notes = true;
	ask(f, "set a 0 0 1\r\n1\r\nget a b\r\nmg a\r\ndelete b\r\nincr a 1\r\ntouch a 0\r\n",
	    "STORED\r\nVALUE a 0 1\r\n1\r\nEND\r\nHD\r\nNOT_FOUND\r\n2\r\nTOUCHED\r\n");
	assert_int_equal(f->notes, 7);
}

static void
markers_are_spoken_in_plain_commands(void **state)
{
	struct talk f;
	struct cache_options opt = {.policy = CACHE_MARKER};

	talk_begin(&f, &opt);
	ask(&f, "ms r:u 4 T60\r\nw-17\r\n", "HD\r\n");
	ask(&f, "mg r:u v s c f k\r\n", "VA 4 s4 c0 f0 kr:u\r\nw-17\r\n");
	ask(&f, "get r:u none\r\n", "VALUE r:u 0 4\r\nw-17\r\nEND\r\n");
	ask(&f, "lease-get r:u none\r\n", "VALUE r:u 0 4\r\nw-17\r\nLVALUE none 1 0 0\r\n\r\nEND\r\n");
	ask(&f, "set r:u|#|w-18 0 60 0\r\n\r\n", "STORED\r\n");
	ask(&f, "md r:u\r\ndelete r:u\r\n", "NF\r\nNOT_FOUND\r\n");
	ask(&f, "md r:u Kw-17\r\nmd r:u Kw-17\r\n", "HD\r\nNF\r\n");
	ask(&f, "mg r:u v\r\n", "VA 4\r\nw-18\r\n");
	ask(&f, "delete r:u|#|w-18\r\nmg r:u v\r\n", "DELETED\r\nEN\r\n");
	ask(&f, "incr r:u 1\r\ntouch r:u 1\r\ngat 1 r:u\r\nma r:u\r\n",
	    "CLIENT_ERROR not in a marker container\r\nCLIENT_ERROR not in a marker container\r\n"
	    "CLIENT_ERROR not in a marker container\r\nCLIENT_ERROR not in a marker container\r\n");
	ask(&f, "append r:u 0 0 1\r\nx\r\ncas r:u 0 0 1 1\r\nx\r\nms r:u 1 C1\r\nx\r\nmd r:u H1\r\n",
	    "CLIENT_ERROR not in a marker container\r\nCLIENT_ERROR not in a marker container\r\n"
	    "CLIENT_ERROR not in a marker container\r\nCLIENT_ERROR not in a marker container\r\n");
	ask(&f, "set r:u 0 0 65\r\n", "SERVER_ERROR object too large for cache\r\n");
	talk_end(&f);
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    WITH(classic_commands_are_answered_as_by_memcached),
	    WITH(meta_commands_are_answered_as_by_memcached),
	    WITH(every_cut_of_every_request_is_the_same),
	    cmocka_unit_test(replies_do_not_depend_on_how_a_request_was_cut),
	    WITH(cas_of_gets_stores_once),
	    WITH(lease_is_given_once_and_good_once),
	    WITH(expired_items_are_gone),
	    WITH(delayed_flush_comes_when_it_is_due),
	    WITH(http_verbs_close_the_connection),
	    WITH(quit_closes_after_what_was_asked_before),
	    WITH(line_without_an_end_is_not_waited_for),
	    WITH(get_of_ten_thousand_keys_is_answered_in_parts),
	    WITH(over_long_key_late_in_a_long_get_is_one_error),
	    WITH(pipelined_gets_are_answered_in_order),
	    WITH(values_of_every_size_come_back),
	    WITH(too_large_is_swallowed_and_takes_the_old_value_along),
	    WITH(large_value_with_a_wrong_end_is_not_stored),
	    WITH(nothing_is_done_before_authentication),
	    WITH(what_is_not_allowed_is_refused),
	    WITH(dump_and_watch_are_not_pipelined),
	    WITH(shutdown_is_passed_on),
	    WITH(commands_are_counted_as_memcached_counts),
	    WITH(notes_are_given_when_they_are_wanted),
	    cmocka_unit_test(markers_are_spoken_in_plain_commands),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
