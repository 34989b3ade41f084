/* test - cmocka and what it needs before it. */
#ifndef SQUEAL_LIB_CORE_TEST_TEST_H
#define SQUEAL_LIB_CORE_TEST_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#endif
