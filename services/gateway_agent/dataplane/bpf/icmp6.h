/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
#ifndef SIDEGATE_ICMP6_H
#define SIDEGATE_ICMP6_H

#include "answer.h"

static __always_inline int answer_too_long6(struct __sk_buff *skb, __u32 slot, __u32 mtu)
{
	(void)skb, (void)mtu;
	return refuse_for(slot, REFUSED_TOO_LONG);
}

static __always_inline int carry_other6(struct __sk_buff *skb, __u32 number, __u32 reason)
{
	(void)skb, (void)number;
	return refuse(reason);
}

#endif
