/** `docs/protocol.md`: frames in words, and the table of every message from its declaration. */
import { DATAGRAM_BYTES_MAX } from '../node/core/tlv/datagram.ts';
import { FRAME_HEADER_BYTES, FRAME_PAYLOAD_BYTES_MAX } from '../node/core/tlv/frame.ts';
import { MESSAGES, type MessageKind } from '../node/core/tlv/messages.ts';
import type { NamedField, Struct } from '../node/core/tlv/struct.ts';

const HEAD = `# Protocol

Nodes talk over TCP, two connections for each pair: a control lane for what must not wait (votes, heartbeats, reads) and
a bulk lane for entries and tasks. This page is generated from the declarations in \`node/core/tlv/messages.ts\`.

## Frame

Big-endian, ${String(FRAME_HEADER_BYTES)} bytes, then the payload (at most ${String(FRAME_PAYLOAD_BYTES_MAX / 1024 / 1024)} MiB; over it the connection is closed).

| offset | size | field |
| --- | --- | --- |
| 0 | 4 | magic \`0x44495354\` ("DIST") |
| 4 | 2 | version \`0x0001\` |
| 6 | 2 | message code |
| 8 | 2 | flags: 1 compressed (as agreed in HELLO), 2 encrypted (reserved), 4 urgent, 8 response, 16 error, 32 one-way |
| 10 | 4 | payload length |
| 14 | 8 | message id |
| 22 | 8 | timestamp, µs since the epoch |
| 30 | 4 | CRC-32 (IEEE) of the header with this field 0, then of the payload |

## Payload

Fields of type u8, tag u16, length u32, value. Types: u8 \`0x01\`, u16 \`0x02\`, u32 \`0x03\`, u64 \`0x04\` (at most 2^53 - 1),
i64 \`0x05\`, f64 \`0x06\`, bool \`0x07\`, text \`0x10\` (UTF-8), bytes \`0x11\`, list \`0x20\` (one field per element, tag 0),
struct \`0x21\` (its fields). Unknown tags and types are skipped by length; tags are never reused; fields are only ever added, as optional ones.
The first frame each way on a connection is HELLO.

## What two ends agree on

HELLO names the protocol versions its sender speaks (\`versionMin\`, \`versionMax\`; both absent: 1) and its features.
The highest common version is used; without one the connection is refused with \`unsupported_version\`. A feature counts
when both ends name it:

| feature | meaning |
| --- | --- |
| \`ping\` | the sender answers PING by ACK on its control lane |
| \`zstd\`, \`deflate-raw\` | payloads on the bulk lane may have flag 1 and be packed so; zstd where both ends have both |

A packed payload is at most 4 MiB once unpacked, and a zstd window as well; over it the connection is closed. Length and
checksum of the frame are those of the packed payload.

## Datagrams

One frame in each, at most ${String(DATAGRAM_BYTES_MAX)} bytes in all: plain on loopback, else sealed with AES-256-GCM
([network.md](network.md)).

| offset | size | field |
| --- | --- | --- |
| 0 | 1 | form, \`0xd1\` |
| 1 | 2 | id of the key |
| 3 | 8 | sender, random |
| 11 | 4 | counter of the sender |
| 15 | n | the frame, encrypted; the nonce is sender and counter |
| 15 + n | 16 | authentication tag over all of it |

## Compatibility

Frames of every message are recorded in \`node/core/tlv/vectors/messages.json\`; a test reads each of them as it was
meant. They are only added to.
`;

function typeOf(field: NamedField): string {
  if (field.kind === 'list') return `list of ${field.inner === undefined ? String(field.element) : field.inner.name}`;
  if (field.kind === 'nested') return field.inner?.name ?? 'struct';
  return field.kind;
}

function fieldTable(struct: Struct<unknown>): string {
  if (struct.fields.length === 0) return 'No fields.\n';
  const rows = struct.fields.map(
    (field) => `| ${String(field.tag)} | \`${field.name}\` | ${typeOf(field)} | ${field.optional ? 'optional' : ''} |`,
  );
  return ['| tag | field | type | |', '| --- | --- | --- | --- |', ...rows, ''].join('\n');
}

/** Structs that messages contain, each once, in order of first use. */
function innerStructs(structs: readonly Struct<unknown>[]): Struct<unknown>[] {
  const found = new Map<string, Struct<unknown>>();
  const visit = (struct: Struct<unknown>): void => {
    for (const { inner } of struct.fields) {
      if (inner === undefined || found.has(inner.name)) continue;
      found.set(inner.name, inner);
      visit(inner);
    }
  };
  structs.forEach(visit);
  return [...found.values()];
}

export function protocolMarkdown(): string {
  const kinds = (Object.keys(MESSAGES) as MessageKind[]).sort((a, b) => MESSAGES[a].code - MESSAGES[b].code);
  const code = (kind: MessageKind): string => `\`0x${MESSAGES[kind].code.toString(16).padStart(4, '0')}\``;
  const overview = kinds.map(
    (kind) => `| ${code(kind)} | [${kind}](#${kind.toLowerCase()}) | ${MESSAGES[kind].lane} |`,
  );
  const structs = kinds.map((kind) => MESSAGES[kind].struct as Struct<unknown>);
  const sections = kinds.map((kind, i) => {
    const struct = structs[i];
    return struct === undefined ? '' : `### ${kind}\n\nCode ${code(kind)}.\n\n${fieldTable(struct)}`;
  });
  const inner = innerStructs(structs).map((struct) => `### ${struct.name}\n\n${fieldTable(struct)}`);
  return [
    HEAD,
    '## Messages\n',
    'An APPEND_ENTRIES without entries is a heartbeat and travels on the control lane.\n',
    '| code | message | lane |\n| --- | --- | --- |',
    ...overview,
    '',
    ...sections,
    '## Structs in messages\n',
    ...inner,
  ].join('\n');
}
