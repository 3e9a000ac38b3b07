/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Counting what an endpoint has and takes, and holding it to its service's limits. */
#ifndef SIDEGATE_METER_H
#define SIDEGATE_METER_H

#include "packet.h"

#define NANOSECONDS 1000000000ULL
#define ATTEMPTS 16
#define NEW_BURST NANOSECONDS            /* as many as a second allows may come at once */
#define BITS_BURST (NANOSECONDS / 10)    /* a tenth of a second's, */
#define LARGEST_PACKET_BITS (8 * 65536ULL) /* and one packet of GSO */

static __always_inline __u64 now_ns(void)
{
	return bpf_ktime_get_coarse_ns();
}

static __always_inline struct usage *usage_of(__u32 slot)
{
	return bpf_map_lookup_elem(&usage, &slot);
}

/*
 * Counts a session that is about to open, unless there are as many as the limit. The count is of one epoch: the first
 * session of a new epoch begins it at 1, and what is left of an older epoch neither counts nor is subtracted.
 */
static __always_inline enum counter begin_session(struct usage *usage, __u32 epoch, __u64 limit)
{
	for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
		__u64 before = *(volatile __u64 *)&usage->sessions;
		__u32 count = before >> 32 == epoch ? (__u32)before : 0;

		if ((__s32)((__u32)(before >> 32) - epoch) > 0 && before >> 32)
			return REFUSED_STALE_EPOCH;
		if (limit && count >= limit)
			return REFUSED_LIMIT_CONNECTIONS;
		__u64 after = (__u64)epoch << 32 | (count + 1);
		if (__sync_val_compare_and_swap(&usage->sessions, before, after) == before)
			return FORWARDED;
	}
	return REFUSED_TABLE_FULL; /* so many processors at once: the client tries again */
}

static __always_inline void end_session(__u32 slot, __u32 epoch)
{
	struct usage *usage = usage_of(slot);

	if (!usage)
		return;
	for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
		__u64 before = *(volatile __u64 *)&usage->sessions;

		if (before >> 32 != epoch || !(__u32)before) /* of an epoch that is over */
			return;
		if (__sync_val_compare_and_swap(&usage->sessions, before, before - 1) == before)
			return;
	}
}

/*
 * The generic cell rate algorithm (ITU-T I.371): `at` is when the whole allowance will be there again, and each unit moves
 * it on by what it takes of a second. A unit that would move it further ahead than the burst does not conform.
 */
static __always_inline bool conforms(__u64 *at, __u64 cost, __u64 burst)
{
	__u64 now = bpf_ktime_get_ns();

	for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
		__u64 before = *(volatile __u64 *)at;
		__u64 after = (before > now ? before : now) + cost;

		if (after - now > burst)
			return false;
		if (__sync_val_compare_and_swap(at, before, after) == before)
			return true;
	}
	return false;
}

static __always_inline bool may_open(struct usage *usage, __u64 per_second)
{
	return !per_second || conforms(&usage->new_at, NANOSECONDS / per_second, NEW_BURST);
}

/* Whether a packet of so many bytes is within the limit of its endpoint. Without settings nothing limits it. */
static __always_inline bool within_rate(__u32 slot, __u32 service, __u32 version, __u64 bytes)
{
	const struct settings *settings = find_settings(service, version);
	struct usage *usage = usage_of(slot);

	if (!settings || !usage || !settings->bits_per_second)
		return true;
	__u64 rate = settings->bits_per_second;
	__u64 largest = LARGEST_PACKET_BITS * NANOSECONDS / rate;
	return conforms(&usage->bits_at, bytes * 8 * NANOSECONDS / rate, largest > BITS_BURST ? largest : BITS_BURST);
}

static __always_inline void count_packets(__u32 slot, __u8 direction, __u32 packets, __u64 bytes)
{
	struct traffic *found = bpf_map_lookup_elem(&traffic, &slot);

	if (!found)
		return;
	if (direction == FROM_CONSUMER) {
		found->packets[FROM_CONSUMER] += packets;
		found->bytes[FROM_CONSUMER] += bytes;
	} else {
		found->packets[FROM_PROVIDER] += packets;
		found->bytes[FROM_PROVIDER] += bytes;
	}
}

static __always_inline void count_session(__u32 slot)
{
	struct traffic *found = bpf_map_lookup_elem(&traffic, &slot);

	count(SESSION_NEW);
	if (found)
		found->sessions_made++;
}

/* Of a function that is verified by itself the verifier wants an answer. */
__noinline int count_refusal(__u32 slot, __u32 reason)
{
	struct refusal_key key = {.slot = slot, .reason = reason};
	__u64 one = 1, *found = bpf_map_lookup_elem(&refusals, &key);

	if (found)
		(*found)++;
	else
		bpf_map_update_elem(&refusals, &key, &one, BPF_NOEXIST);
	return 0;
}

#endif
