/**
 * Frames of real messages, broken in every way that a network or an attacker can, through reader and decoder.
 *
 * 1. Nothing but FrameError and MalformedError comes out, whatever goes in.
 * 2. No single allocation is over the payload limit of the reader, however long a frame claims to be.
 * 3. What is taken as a message can be sent on: it encodes again.
 *
 * Each run has a seed of its own, so that one can be repeated alone.
 */
import { assert } from '../../../base/assert.ts';
import type { Host } from '../../../base/host.ts';
import { Random } from '../../../base/random.ts';
import { encodeFrame, FRAME_HEADER_BYTES, FRAME_PAYLOAD_BYTES_MAX, FrameError, FrameReader } from './frame.ts';
import { decodeMessage, encodeMessage, MESSAGES, type Message, type MessageKind } from './messages.ts';
import { MalformedError } from './struct.ts';
import { randomSample } from './struct-samples.ts';
import { putU32 } from './wire.ts';

export interface FrameFuzzOptions {
  seed: number;
  runs: number;
  /** The run to begin with; default 0. */
  firstRun?: number;
}

/** How many frames ended how: `message`, `unknown`, `incomplete`, `malformed`, or a reason of FrameError. */
export type FrameFuzzReport = Map<string, number>;

const KINDS = Object.keys(MESSAGES) as MessageKind[];
/** As a connection has it before HELLO. */
const SMALL_PAYLOAD_BYTES_MAX = 16 * 1024;
const LENGTHS = [0, 1, 7, 0x7fff_ffff, 0xffff_ffff, FRAME_PAYLOAD_BYTES_MAX, FRAME_PAYLOAD_BYTES_MAX + 1];
const MUTATIONS_MAX = 4;
const INSERTED_BYTES_MAX = 40;
/** In most runs length and checksum are made right again, or hardly anything would reach the decoder. */
const REPAIR_CHANCE = 0.7;

/** Throws an Error that names seed and run at the first thing that must not happen. */
export function fuzzFrames(host: Host, { seed, runs, firstRun = 0 }: FrameFuzzOptions): FrameFuzzReport {
  const report: FrameFuzzReport = new Map();
  for (let run = firstRun; run < firstRun + runs; run++) {
    try {
      fuzzOne(host, Random.stream(seed, String(run)), report);
    } catch (error) {
      const reason = error instanceof Error ? `${error.message}\n${error.stack ?? ''}` : String(error);
      throw new Error(`seed ${seed}, run ${run}: ${reason}`, { cause: error });
    }
  }
  return report;
}

function fuzzOne(host: Host, random: Random, report: FrameFuzzReport): void {
  const count = (outcome: string): void => void report.set(outcome, (report.get(outcome) ?? 0) + 1);
  const bytesMax = random.chance(0.3) ? SMALL_PAYLOAD_BYTES_MAX : FRAME_PAYLOAD_BYTES_MAX;
  const watched: Host = {
    ...host,
    alloc: (byteLength) => {
      assert(byteLength <= bytesMax, `${byteLength} bytes allocated, over the limit of ${bytesMax}`);
      return host.alloc(byteLength);
    },
  };
  const reader = new FrameReader(watched, bytesMax);
  const stream = mutated(host, randomFrame(host, random), random);
  let frames = 0;
  try {
    for (let at = 0; at < stream.length;) {
      const end = random.chance(0.3) ? at + random.integer(1, 60) : stream.length;
      reader.push(stream.subarray(at, end), ({ typeCode, payload }) => {
        frames++;
        const message = decodeMessage(watched, typeCode, payload);
        if (message !== undefined) encodeMessage(host, message);
        count(message === undefined ? 'unknown' : 'message');
      });
      at = end;
    }
    if (frames === 0) count('incomplete');
  } catch (error) {
    if (error instanceof FrameError) count(error.reason);
    else if (error instanceof MalformedError) count('malformed');
    else throw error;
  }
}

function randomFrame(host: Host, random: Random): Uint8Array {
  const kind = random.pick(KINDS);
  const body = randomSample(host, MESSAGES[kind].struct, random);
  const { code, payload } = encodeMessage(host, { kind, body } as unknown as Message);
  return encodeFrame(host, code, 0, random.uint32(), random.uint32(), payload);
}

function mutated(host: Host, frame: Uint8Array, random: Random): Uint8Array {
  let bytes = frame;
  for (let left = random.integer(0, MUTATIONS_MAX); left > 0; left--) bytes = mutateOnce(host, bytes, random);
  if (bytes.length >= FRAME_HEADER_BYTES && random.chance(REPAIR_CHANCE)) {
    const header = encodeFrame(host, 0, 0, 0, 0, bytes.subarray(FRAME_HEADER_BYTES)).subarray(0, FRAME_HEADER_BYTES);
    // The type stays as it is: it decides which declaration the payload is held against.
    header.set(frame.subarray(6, 8), 6);
    putU32(header, 30, 0);
    putU32(header, 30, host.crc32(bytes.subarray(FRAME_HEADER_BYTES), host.crc32(header)));
    bytes.set(header);
  }
  return bytes;
}

function mutateOnce(host: Host, bytes: Uint8Array, random: Random): Uint8Array {
  const from = random.integer(0, bytes.length);
  const to = random.integer(from, Math.min(bytes.length, from + INSERTED_BYTES_MAX));
  switch (random.integer(0, 5)) {
    case 0: {
      const at = random.integer(0, Math.max(0, bytes.length - 1));
      if (at < bytes.length) bytes[at] = (bytes[at] ?? 0) ^ (1 << random.integer(0, 7));
      return bytes;
    }
    case 1:
      if (from + 4 <= bytes.length) putU32(bytes, from, random.pick([...LENGTHS, bytes.length, random.uint32()]));
      return bytes;
    case 2:
      return joined(host, bytes.subarray(0, from));
    case 3:
      return joined(host, bytes.subarray(0, from), bytes.subarray(to));
    case 4:
      return joined(host, bytes.subarray(0, to), bytes.subarray(from));
    default: {
      const inserted = host.alloc(random.integer(1, INSERTED_BYTES_MAX));
      for (let at = 0; at < inserted.length; at++) inserted[at] = random.uint32();
      return joined(host, bytes.subarray(0, from), inserted, bytes.subarray(from));
    }
  }
}

function joined(host: Host, ...parts: Uint8Array[]): Uint8Array {
  const bytes = host.alloc(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
