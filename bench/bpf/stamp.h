/* SPDX-License-Identifier: GPL-2.0 OR MIT OR Apache-2.0 */
/*
 * The stamp: what a generated frame carries behind its UDP header, so that a sink can tell loss,
 * reordering and duplication. Network byte order.
 *
 *  0                   1                   2                   3
 *  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
 * +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 * |                     magic 0x53574731 ("SWG1")                 |
 * +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 * |                            flow id                            |
 * +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 * |                   sequence number of the flow                 |
 * |                            (64 bits)                          |
 * +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 * |       time at which the frame was due: CLOCK_MONOTONIC,       |
 * +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 * |  nanoseconds, low 48 bits     |
 * +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *
 * The time is that of the schedule, not that of sending: a sender that is held up does not hide it. 0: no schedule. A
 * tagged frame has no room for it in the 64 bytes that are written for each frame, and carries none.
 */
#ifndef SPANWIRE_BENCH_STAMP_H
#define SPANWIRE_BENCH_STAMP_H

#include <linux/types.h>

#define STAMP_MAGIC 0x53574731u
#define STAMP_BYTES 16
#define STAMP_FLOW_OFFSET 4
#define STAMP_SEQUENCE_OFFSET 8
#define STAMP_TIME_OFFSET 16
#define STAMP_TIME_BYTES 6
#define STAMP_TIME_MASK ((1ull << 48) - 1)

#endif
