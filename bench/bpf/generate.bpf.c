/* SPDX-License-Identifier: GPL-2.0 OR MIT OR Apache-2.0 */
/*
 * The load generator. Run by BPF_PROG_TEST_RUN with live frames, never attached: each run writes the
 * next flow's head over a recycled page and sends it out of the one interface in OUT.
 *
 * The page still holds what the last receiver made of it, so the whole head is written every time.
 * One run at a time is the caller's promise: the state and the sequence numbers have one writer.
 *
 * Pacing is done here, not between system calls: each call that ends waits tens of milliseconds for
 * its page pool to go. The kernel runs this program in batches with softirqs held off, and hands the
 * batch to the driver, softirqs included, at its end. So waiting goes by batches as well: one that
 * finds no frame due spins for a moment, and gives the rest of its pages back unsent. All of that is
 * added to `waited_ns`, which no receiver's work can be in.
 */
#include <stdbool.h>
#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "stamp.h"

#define HEAD_WORDS 8
#define HEAD_BYTES (HEAD_WORDS * 8)

/* Runs between two hand-overs to the driver: the kernel's NAPI_POLL_WEIGHT. */
#define BATCH_RUNS 64

/* Longest spin; what else waits for this CPU's softirqs waits as long. Then the clock, at about 25 ns. */
#define SPIN_NS 10000
#define SPIN_READINGS 1024

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
	/* When the next burst is due, and when the present one was. */
	__u64 next_burst_ns;
	__u64 burst_ns;
	/* Time spent waiting for a burst to become due. */
	__u64 waited_ns;
	/* Time of the schedule that was given up. */
	__u64 given_up_ns;
	__u64 runs;
	/* Since when the present batch gives its pages back; 0 while it does not. */
	__u64 idle_since_ns;
	__u32 burst_left;
	__u32 next_flow;
};

/* Written before load, constant afterwards. `burst_frames` 0 is no pacing, `time_offset` 0 no time in the stamp. */
const volatile struct {
	__u64 frame_limit;
	__u64 burst_interval_ns;
	__u64 max_lag_ns;
	__u32 burst_frames;
	__u32 flow_count;
	__u32 sequence_offset;
	__u32 time_offset;
} settings = { ~0ull, 0, 0, 0, 1, 50, 0 };

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

/* Spins until the next burst is due, or for SPIN_NS. Returns the time. */
static __always_inline __u64 spin(struct state *state, __u64 from_ns)
{
	__u64 now_ns = from_ns;

	for (int reading = 0; reading < SPIN_READINGS; reading++) {
		if (now_ns >= state->next_burst_ns || now_ns - from_ns > SPIN_NS)
			break;
		now_ns = bpf_ktime_get_ns();
	}
	state->waited_ns += now_ns - from_ns;
	return now_ns;
}

/* Begins the burst that is due. */
static __always_inline void begin_burst(struct state *state, __u64 now_ns)
{
	/* Far behind: the time lost is not made up for. */
	if (state->frames == 0) {
		state->next_burst_ns = now_ns;
	} else if (now_ns - state->next_burst_ns > settings.max_lag_ns) {
		state->given_up_ns += now_ns - state->next_burst_ns;
		state->next_burst_ns = now_ns;
	}
	state->burst_ns = state->next_burst_ns;
	state->next_burst_ns += settings.burst_interval_ns;
	state->burst_left = settings.burst_frames;
}

/* Whether a paced frame is due; takes it from the present burst, or starts the next one. */
static __always_inline bool take_due(struct state *state)
{
	__u64 position = state->runs++ % BATCH_RUNS;

	if (position == 0)
		state->idle_since_ns = 0;
	if (state->idle_since_ns == 0 && state->burst_left == 0) {
		__u64 now_ns = bpf_ktime_get_ns();

		if (position == 0 && now_ns < state->next_burst_ns)
			now_ns = spin(state, now_ns);
		if (now_ns < state->next_burst_ns)
			state->idle_since_ns = now_ns;
		else
			begin_burst(state, now_ns);
	}
	if (state->idle_since_ns == 0) {
		state->burst_left--;
		return true;
	}
	if (position == BATCH_RUNS - 1)
		state->waited_ns += bpf_ktime_get_ns() - state->idle_since_ns;
	return false;
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
	/* Offset 54 (one VLAN tag) is the largest there is; the bounds are for the verifier. */
	if (settings.sequence_offset > HEAD_BYTES - sizeof(__u64))
		return XDP_ABORTED;
	*(__u64 *)(data + settings.sequence_offset) = bpf_cpu_to_be64(flow->next_sequence);
	if (settings.time_offset) {
		__u64 due_ns = bpf_cpu_to_be64(state->burst_ns << 16);

		if (settings.time_offset > HEAD_BYTES - STAMP_TIME_BYTES)
			return XDP_ABORTED;
		__builtin_memcpy(data + settings.time_offset, &due_ns, STAMP_TIME_BYTES);
	}
	flow->next_sequence++;
	return bpf_redirect_map(&OUT, 0, 0);
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
