/** `/cluster/backup`: the whole state as of one commit, as a stream (node/data/backup-format.ts). */
import type { ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import type { FastifyInstance } from 'fastify';
import type { Actor } from '../../../api/access.ts';
import { API_BASE } from '../../../api/rest.ts';
import { DistricError } from '../../../base/errors.ts';
import type { Gateway } from '../../requests.ts';
import type { ApiContext } from './exchange.ts';
import { queryOf } from './query.ts';

/** Who takes them. */
export interface BackupGate {
  /** As of a read index: everything that was acknowledged before the call is in it. Rejects with a DistricError. */
  take(): Promise<Backup>;
}

export interface Backup {
  /** For a file. */
  name: string;
  stream: AsyncIterable<Uint8Array>;
  /** Called once the stream is read or given up. */
  drop: () => void;
}

export function registerBackup(app: FastifyInstance, context: ApiContext, gate: BackupGate | undefined): void {
  /** Each copies the whole state. */
  let underWay = false;
  let response: ServerResponse | undefined;
  // Whoever wants it whole asks another coordinator: it may last for hours, and this one is to stop.
  app.addHook('preClose', (done) => {
    response?.destroy();
    done();
  });
  // Asking for its headers alone would copy the state, too.
  app.get(`${API_BASE}/cluster/backup`, { exposeHeadRoute: false }, async (request, reply) => {
    queryOf(request, []);
    if (gate === undefined) throw new DistricError('NOT_FOUND', 'this server gives no backups');
    if (underWay) {
      throw new DistricError(
        'QUEUE_FULL',
        'this coordinator gives a backup already: wait for its end, or ask another one',
      );
    }
    underWay = true;
    try {
      await noted(context.gateway, request.actor);
      const { name, stream, drop } = await gate.take();
      const body = Readable.from(stream, { objectMode: false });
      body.once('close', () => {
        underWay = false;
        response = undefined;
        drop();
      });
      response = reply.raw;
      keepPace(reply.raw, context);
      return await reply
        .header('content-type', 'application/octet-stream')
        .header('content-disposition', `attachment; filename="${name}"`)
        .send(body);
    } catch (error) {
      underWay = false;
      throw error;
    }
  });
}

/** Cuts off who takes too little: one that takes a byte now and then would keep the copy, and others from theirs. */
function keepPace(response: ServerResponse, { limits, timeouts }: ApiContext): void {
  const { socket } = response;
  let taken = socket?.bytesWritten ?? 0;
  const timer = setInterval(() => {
    const now = socket?.bytesWritten ?? 0;
    if (now - taken < limits.backupBytesMin) response.destroy();
    taken = now;
  }, timeouts.backupPaceMs);
  response.once('close', () => {
    clearInterval(timer);
  });
}

/** On record before a byte leaves. */
function noted(gateway: Gateway, actor: Actor): Promise<void> {
  return new Promise((resolve, reject) => {
    gateway.command({ kind: 'noteBackup' }, actor, (outcome) => {
      if ('error' in outcome) reject(outcome.error);
      else resolve();
    });
  });
}
