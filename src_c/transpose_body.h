/* transpose.c, one clone. */
#define TAG b1
#define T uint8_t
#include "transpose_tile.h"
#include "undefine.h"
#define TAG b2
#define T uint16_t
#include "transpose_tile.h"
#include "undefine.h"
#define TAG b4
#define T uint32_t
#include "transpose_tile.h"
#include "undefine.h"
#define TAG b8
#define T uint64_t
#include "transpose_tile.h"
#include "undefine.h"
