import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { Random } from '../../../base/random.ts';
import { nodeHost } from '../../io/host.ts';
import { decodeFrame, encodeFrame, FrameReader, type Frame } from './frame.ts';
import { decodeMessage, encodeMessage, MESSAGES, type Message, type MessageKind } from './messages.ts';
import { randomSample } from './struct-samples.ts';
import { missingVectors, toJson, type Vector } from './vectors.ts';

const KINDS = Object.keys(MESSAGES) as MessageKind[];
const SEED = 4;
const VALUES_PER_KIND = 200;

const vectors = JSON.parse(readFileSync(join(import.meta.dirname, 'vectors/messages.json'), 'utf8')) as Vector[];

function messageOf(frame: Frame): Message {
  const message = decodeMessage(nodeHost, frame.typeCode, frame.payload);
  if (message === undefined) throw new Error(`no message has the code ${frame.typeCode}`);
  return message;
}

describe('messages', () => {
  it.each(KINDS)('%s comes back as it was sent', (kind) => {
    const random = Random.stream(SEED, kind);
    for (let i = 0; i < VALUES_PER_KIND; i++) {
      const body = randomSample(nodeHost, MESSAGES[kind].struct, random);
      const { code, payload } = encodeMessage(nodeHost, { kind, body } as unknown as Message);
      expect(decodeMessage(nodeHost, code, payload)).toStrictEqual({ kind, body });
    }
  });

  it('have codes of their own', () => {
    expect(new Set(KINDS.map((kind) => MESSAGES[kind].code)).size).toBe(KINDS.length);
  });

  it('are read the same from a stream that is cut at any byte', () => {
    const random = Random.stream(SEED, 'stream');
    const frames = KINDS.map((kind, i) => {
      const body = randomSample(nodeHost, MESSAGES[kind].struct, random);
      const { code, payload } = encodeMessage(nodeHost, { kind, body } as unknown as Message);
      return encodeFrame(nodeHost, code, 0, i, i, payload);
    });
    const stream = Buffer.concat(frames);
    for (let cut = 0; cut <= stream.length; cut++) {
      const reader = new FrameReader(nodeHost);
      let at = 0;
      for (const part of [stream.subarray(0, cut), stream.subarray(cut)]) {
        reader.push(part, ({ messageId, payload }) => {
          const sent = frames[at];
          if (sent === undefined || messageId !== at || Buffer.compare(payload, sent.subarray(34)) !== 0)
            throw new Error(`frame ${at} differs when the stream is cut at ${cut}`);
          at++;
        });
      }
      if (at !== frames.length) throw new Error(`${at} of ${frames.length} frames when the stream is cut at ${cut}`);
    }
    expect(stream.length).toBeGreaterThan(1_000);
  });
});

describe('recorded frames', () => {
  it.each(vectors.map((vector): [string, Vector] => [`${vector.kind}, ${vector.form}`, vector]))(
    '%s means today what it meant when it was recorded',
    (_, { kind, frame: hex, body }) => {
      const frame = decodeFrame(nodeHost, Buffer.from(hex, 'hex'));
      const message = messageOf(frame);
      expect({ kind: message.kind, body: toJson(message.body) }).toStrictEqual({ kind, body });
      expect(Buffer.from(encodeMessage(nodeHost, message).payload)).toEqual(Buffer.from(frame.payload));
    },
  );

  it('are there for every message, with every field: else run node tools/record-vectors.ts', () => {
    expect(missingVectors(nodeHost, vectors).map(({ kind, form }) => `${kind}, ${form}`)).toEqual([]);
  });
});

describe('missingVectors()', () => {
  it('asks for a smallest and a full frame of each message, and for another once a field is not in any', () => {
    const all = missingVectors(nodeHost, []);
    expect(all.filter(({ kind }) => kind === 'TASK_RESULT').map(({ form }) => form)).toEqual(['minimal', 'full']);
    expect(all.filter(({ kind }) => kind === 'KEEPALIVE').map(({ form }) => form)).toEqual(['minimal']);
    expect(missingVectors(nodeHost, all)).toEqual([]);
    const older = structuredClone(all);
    const full = older.find(({ kind, form }) => kind === 'TASK_RESULT' && form === 'full');
    for (const result of (full?.body as { results: { error?: string }[] }).results) delete result.error;
    expect(missingVectors(nodeHost, older).map(({ kind, form }) => `${kind}, ${form}`)).toEqual([
      'TASK_RESULT, full, 2',
    ]);
  });
});
