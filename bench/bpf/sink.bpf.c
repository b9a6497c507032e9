/* SPDX-License-Identifier: GPL-2.0 OR MIT OR Apache-2.0 */
/*
 * The sink: counts stamped frames per flow, checks their sequence numbers, and drops them. Frames
 * without a stamp get the action in `settings`.
 */
#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "stamp.h"

#define ETHERNET_BYTES 14
#define VLAN_BYTES 4
#define IPV4_BYTES 20
#define UDP_BYTES 8
#define ETHERTYPE_IPV4 0x0800
#define ETHERTYPE_8021Q 0x8100
#define ETHERTYPE_8021AD 0x88a8
#define PROTOCOL_UDP 17
#define WINDOW_WORDS 16

/* Latencies by size: 64 classes for each doubling, so that a class is at most 1/64 of its values wide. */
#define CLASS_BITS 6
#define MAX_LATENCY_BITS 36
#define LATENCY_CLASSES ((MAX_LATENCY_BITS - CLASS_BITS + 1) << CLASS_BITS)

/*
 * What was seen of one flow. `seen` is a ring of bits over the 16 words that end with the word of
 * `highest`: at least the last 961 sequence numbers.
 */
struct flow_record {
	struct bpf_spin_lock lock;
	__u32 reserved;
	__u64 frames;
	__u64 bytes;
	__u64 first;
	__u64 highest;
	__u64 reordered;
	__u64 duplicates;
	__u64 stale;
	__u64 seen[WINDOW_WORDS];
};

/* Per-CPU totals. Times: CLOCK_MONOTONIC at timer-tick resolution. */
struct totals {
	__u64 frames;
	__u64 bytes;
	__u64 first_ns;
	__u64 last_ns;
	__u64 other_frames;
	__u64 other_bytes;
	__u64 unknown_flow_frames;
};

/* Written before load, constant afterwards. */
const volatile struct {
	__u32 flow_count;
	__u32 other_action;
	__u32 with_latency;
	__u32 padding;
} settings = { 1, XDP_PASS, 0, 0 };

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct flow_record);
} FLOWS SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct totals);
} TOTALS SEC(".maps");

/* Frames by latency class, per CPU. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, LATENCY_CLASSES);
	__type(key, __u32);
	__type(value, __u64);
} LATENCIES SEC(".maps");

static __always_inline __u16 load_u16(const __u8 *bytes)
{
	return bpf_ntohs(*(const __u16 *)bytes);
}

/* The stamp of a frame, or NULL. Ethernet, at most two VLAN tags, IPv4 without options, UDP. */
static __always_inline const __u8 *find_stamp(const __u8 *data, const __u8 *data_end)
{
	const __u8 *ip = data + ETHERNET_BYTES;
	const __u8 *stamp;

#pragma unroll
	for (int tag = 0; tag < 2; tag++) {
		if (ip > data_end)
			return NULL;
		__u16 ethertype = load_u16(ip - 2);

		if (ethertype != ETHERTYPE_8021Q && ethertype != ETHERTYPE_8021AD)
			break;
		ip += VLAN_BYTES;
	}
	stamp = ip + IPV4_BYTES + UDP_BYTES;
	if (stamp + STAMP_BYTES > data_end)
		return NULL;
	if (load_u16(ip - 2) != ETHERTYPE_IPV4 || ip[0] != 0x45 || ip[9] != PROTOCOL_UDP)
		return NULL;
	if (*(const __u32 *)stamp != bpf_htonl(STAMP_MAGIC))
		return NULL;
	return stamp;
}

/* Position of the highest bit that is set; 0 for 0. */
static __always_inline __u32 highest_bit(__u64 value)
{
	__u32 bit = 0;

#pragma unroll
	for (__u32 step = 32; step; step /= 2) {
		if (value >> step) {
			value >>= step;
			bit += step;
		}
	}
	return bit;
}

/* The class of a latency: itself below 64, then 64 for each doubling. */
static __always_inline __u32 latency_class(__u64 latency_ns)
{
	__u32 shift = highest_bit(latency_ns);

	shift = shift > CLASS_BITS ? shift - CLASS_BITS : 0;
	return (shift << CLASS_BITS) + (latency_ns >> shift);
}

/* Books how long ago a frame was due. */
static __always_inline void record_latency(const __u8 *due, const __u8 *data_end)
{
	__u64 due_ns = 0, latency_ns, *count;
	__u32 class;

	if (due + STAMP_TIME_BYTES > data_end)
		return;
	__builtin_memcpy(&due_ns, due, STAMP_TIME_BYTES);
	due_ns = bpf_be64_to_cpu(due_ns) >> 16;
	if (!due_ns)
		return;
	latency_ns = (bpf_ktime_get_ns() - due_ns) & STAMP_TIME_MASK;
	class = latency_class(latency_ns);
	if (class >= LATENCY_CLASSES)
		class = LATENCY_CLASSES - 1;
	count = bpf_map_lookup_elem(&LATENCIES, &class);
	if (count)
		(*count)++;
}

/* Moves the window forward to `sequence`; words that come into it are cleared. */
static __always_inline void advance_window(struct flow_record *record, __u64 sequence)
{
	__u64 word = record->highest / 64;
	__u64 fresh = sequence / 64 - word;

	for (int step = 0; step < WINDOW_WORDS; step++) {
		if (step >= fresh)
			break;
		word++;
		record->seen[word % WINDOW_WORDS] = 0;
	}
	record->highest = sequence;
}

/* Books one frame of a flow. Called with the record's lock held: no helper calls in here. */
static __always_inline void record_frame(struct flow_record *record, __u64 sequence, __u64 bytes)
{
	__u64 *word = &record->seen[sequence / 64 % WINDOW_WORDS];
	__u64 bit = 1ull << (sequence % 64);

	if (record->frames == 0) {
		record->first = sequence;
		record->highest = sequence;
	}
	record->frames++;
	record->bytes += bytes;
	if (sequence > record->highest) {
		advance_window(record, sequence);
	} else if (record->highest / 64 - sequence / 64 >= WINDOW_WORDS) {
		record->stale++;
		return;
	} else if (*word & bit) {
		record->duplicates++;
		return;
	} else if (sequence != record->highest) {
		record->reordered++;
		if (sequence < record->first)
			record->first = sequence;
	}
	*word |= bit;
}

SEC("xdp.frags")
int sink(struct xdp_md *context)
{
	const __u8 *data = (const __u8 *)(long)context->data;
	const __u8 *data_end = (const __u8 *)(long)context->data_end;
	const __u8 *stamp = find_stamp(data, data_end);
	__u64 bytes = bpf_xdp_get_buff_len(context);
	__u32 zero = 0;
	struct totals *totals = bpf_map_lookup_elem(&TOTALS, &zero);

	if (!totals)
		return XDP_ABORTED;
	if (!stamp) {
		totals->other_frames++;
		totals->other_bytes += bytes;
		return settings.other_action;
	}
	__u64 now_ns = bpf_ktime_get_coarse_ns();
	__u32 flow = bpf_ntohl(*(const __u32 *)(stamp + STAMP_FLOW_OFFSET));
	__u64 sequence = bpf_be64_to_cpu(*(const __u64 *)(stamp + STAMP_SEQUENCE_OFFSET));
	struct flow_record *record = bpf_map_lookup_elem(&FLOWS, &flow);

	if (!record) {
		totals->unknown_flow_frames++;
		return XDP_DROP;
	}
	if (totals->frames == 0)
		totals->first_ns = now_ns;
	totals->last_ns = now_ns;
	totals->frames++;
	totals->bytes += bytes;
	if (settings.with_latency)
		record_latency(stamp + STAMP_TIME_OFFSET, data_end);
	bpf_spin_lock(&record->lock);
	record_frame(record, sequence, bytes);
	bpf_spin_unlock(&record->lock);
	return XDP_DROP;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
