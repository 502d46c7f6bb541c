import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { decodeText } from '../../base/host.ts';
import { META_KEY } from '../core/state/keys.ts';
import { RecordReader } from '../core/state/snapshot-stream.ts';
import { nodeHost } from '../io/host.ts';
import { BackupError, type BackupHeader, BackupReader } from './backup-format.ts';
import { TableCounts, type TableName } from './tables.ts';

const PIECE_BYTES = 256 * 1024;

export interface BackupSummary {
  header: BackupHeader;
  file_bytes: number;
  counts: Record<TableName, number>;
}

/** Of bytes read so far and in all. */
export type OnProgress = (done: number, total: number) => void;

/**
 * Reads the whole of a backup. `onRecords` is given what was read since the last call, checked block by block; only the
 * return says that the whole is right.
 * @throws BackupError; what the file system says, such as ENOENT.
 */
export async function readBackup(
  file: string,
  onRecords: (records: Map<string, Uint8Array>) => Promise<void> = () => Promise.resolve(),
  onProgress: OnProgress = () => undefined,
): Promise<BackupSummary> {
  const { size } = await stat(file);
  const tables = new TableCounts();
  let records = new Map<string, Uint8Array>();
  let meta: Uint8Array | undefined;
  const recordReader = new RecordReader(nodeHost, (key, value) => {
    tables.add(key);
    if (key === META_KEY) meta = value;
    records.set(key, value);
  });
  const reader = new BackupReader((bytes) => {
    recordReader.push(bytes);
  });
  let done = 0;
  for await (const piece of createReadStream(file, { highWaterMark: PIECE_BYTES }) as AsyncIterable<Buffer>) {
    reader.push(piece);
    await onRecords(records);
    records = new Map();
    done += piece.length;
    onProgress(done, size);
  }
  const header = reader.end();
  recordReader.end();
  checkMeta(header, meta);
  return { header, file_bytes: size, counts: tables.counts };
}

/** Header and state are written apart: they must be of one moment, and of one cluster. */
function checkMeta(header: BackupHeader, bytes: Uint8Array | undefined): void {
  const meta = bytes === undefined ? {} : (JSON.parse(decodeText(nodeHost, bytes)) as Record<string, unknown>);
  if (meta['appliedIndex'] !== header.index || meta['clusterId'] !== header.cluster_id) {
    throw new BackupError('its header is not that of the state in it');
  }
}
