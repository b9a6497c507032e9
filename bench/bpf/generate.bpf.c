/* SPDX-License-Identifier: GPL-2.0 OR MIT OR Apache-2.0 */
/*
 * The load generator. Run by BPF_PROG_TEST_RUN with live frames, never attached: each run writes the
 * next flow's head over a recycled page and sends it out of the one interface in OUT.
 *
 * The page still holds what the last receiver made of it, so the whole head is written every time.
 * One run at a time is the caller's promise: the state and the sequence numbers have one writer.
 *
 * Pacing is done here, not between system calls: each call that ends waits tens of milliseconds for
 * its page pool to go. A run that finds no frame due gives its page back unsent.
 */
#include <stdbool.h>
#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "stamp.h"

#define HEAD_WORDS 8
#define HEAD_BYTES (HEAD_WORDS * 8)

/* One flow: its frame's first 64 bytes, magic and flow id included, and its next sequence number. */
struct flow {
	__u64 head[HEAD_WORDS];
	__u64 next_sequence;
};

/* How often the clock is read: with every 64th frame. */
#define CLOCK_FRAMES 64

/* Where the generator stands. Times: CLOCK_MONOTONIC. */
struct state {
	__u64 frames;
	__u64 first_ns;
	__u64 last_ns;
	__u64 next_burst_ns;
	__u32 burst_left;
	__u32 next_flow;
};

/* Written before load, constant afterwards. `burst_frames` 0 is no pacing. */
const volatile struct {
	__u64 frame_limit;
	__u64 burst_interval_ns;
	__u64 max_lag_ns;
	__u32 burst_frames;
	__u32 flow_count;
	__u32 sequence_offset;
} settings = { ~0ull, 0, 0, 0, 1, 50 };

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct flow);
} FLOWS SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} OUT SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct state);
} STATE SEC(".maps");

/* Whether a paced frame is due; takes it from the present burst, or starts the next one. */
static __always_inline bool take_due(struct state *state)
{
	if (state->burst_left == 0) {
		__u64 now_ns = bpf_ktime_get_ns();

		if (now_ns < state->next_burst_ns)
			return false;
		/* Far behind, or at the start: the time lost is not made up for. */
		if (now_ns - state->next_burst_ns > settings.max_lag_ns)
			state->next_burst_ns = now_ns;
		state->next_burst_ns += settings.burst_interval_ns;
		state->burst_left = settings.burst_frames;
	}
	state->burst_left--;
	return true;
}

SEC("xdp")
int generate(struct xdp_md *context)
{
	__u8 *data = (__u8 *)(long)context->data;
	__u8 *data_end = (__u8 *)(long)context->data_end;
	__u32 zero = 0;
	struct state *state = bpf_map_lookup_elem(&STATE, &zero);
	struct flow *flow;
	__u32 index;

	if (!state || data + HEAD_BYTES > data_end)
		return XDP_ABORTED;
	if (state->frames >= settings.frame_limit)
		return XDP_DROP;
	if (settings.burst_frames && !take_due(state))
		return XDP_DROP;
	index = state->next_flow;
	flow = bpf_map_lookup_elem(&FLOWS, &index);
	if (!flow)
		return XDP_ABORTED;
	state->next_flow = index + 1 < settings.flow_count ? index + 1 : 0;
	if (state->frames % CLOCK_FRAMES == 0) {
		state->last_ns = bpf_ktime_get_ns();
		if (state->frames == 0)
			state->first_ns = state->last_ns;
	}
	state->frames++;

#pragma unroll
	for (int word = 0; word < HEAD_WORDS; word++)
		((__u64 *)data)[word] = flow->head[word];
	/* Offset 54 (one VLAN tag) is the largest there is; the bound is for the verifier. */
	if (settings.sequence_offset > HEAD_BYTES - sizeof(__u64))
		return XDP_ABORTED;
	*(__u64 *)(data + settings.sequence_offset) = bpf_cpu_to_be64(flow->next_sequence);
	flow->next_sequence++;
	return bpf_redirect_map(&OUT, 0, 0);
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
