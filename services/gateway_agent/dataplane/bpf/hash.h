/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Numbers that are spread well, from addresses and ports. */
#ifndef SIDEGATE_HASH_H
#define SIDEGATE_HASH_H

#include "maps.h"

#define GOLDEN_RATIO 0x9e3779b9

/* A number below `range` from a hash, without a division. */
static __always_inline __u32 scale(__u32 hash, __u32 range)
{
	return ((__u64)hash * range) >> 32;
}

static __always_inline __u32 rotate(__u32 word, __u32 by)
{
	return (word << by) | (word >> (32 - by));
}

/*
 * Bob Jenkins' lookup3 over three words (the kernel's jhash_3words). A multiply and xor is not enough: addresses and
 * ports in network order differ in few, high bits, and of those it keeps some 16 bits of entropy.
 */
static __always_inline __u32 hash3(__u32 a, __u32 b, __u32 c)
{
	a += GOLDEN_RATIO, b += GOLDEN_RATIO, c += GOLDEN_RATIO;
	c ^= b, c -= rotate(b, 14);
	a ^= c, a -= rotate(c, 11);
	b ^= a, b -= rotate(a, 25);
	c ^= b, c -= rotate(b, 16);
	a ^= c, a -= rotate(c, 4);
	b ^= a, b -= rotate(a, 14);
	c ^= b, c -= rotate(b, 24);
	return c;
}

static __always_inline bool same_address(const struct address *one, const struct address *two)
{
	return one->word[0] == two->word[0] && one->word[1] == two->word[1] && one->word[2] == two->word[2] &&
	       one->word[3] == two->word[3];
}

/* An IPv4 address as it is; of an IPv6 address a hash of all. */
static __always_inline __u32 hash_address(const struct address *address)
{
	if (!address->word[0] && !address->word[1] && address->word[2] == MAPPED)
		return address->word[3];
	return hash3(hash3(address->word[0], address->word[1], address->word[2]), address->word[3], 0);
}

#endif
