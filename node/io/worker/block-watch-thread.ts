/**
 * The watching thread of a plugin process. When the main thread stands still it is interrupted through the
 * inspector, asked whose code it runs, and let go; the answer goes to the worker on a pipe, because the hanging
 * thread owns the IPC channel. Code inside a native call can't be interrupted: then the answer stays null.
 */
import { writeSync } from 'node:fs';
import { Session, type Debugger, type InspectorNotification } from 'node:inspector';
import { parentPort, workerData } from 'node:worker_threads';
import { ATTEMPT_STORE, WATCH_INTERVAL_MS, type WatchData } from './block-watch.ts';
import { REPORT_FD, type BlockedReport } from './plugin-protocol.ts';

const EXPRESSION = `globalThis[Symbol.for(${JSON.stringify(Symbol.keyFor(ATTEMPT_STORE))})].getStore()`;

const { beats, parentPid } = workerData as WatchData;
let lastBeat = -1;
let session: Session | undefined;

function report(blockedBy: number | null): void {
  const line: BlockedReport = { blockedBy };
  writeSync(REPORT_FD, `${JSON.stringify(line)}\n`);
}

function onPaused(paused: Session, event: InspectorNotification<Debugger.PausedEventDataType>): void {
  const callFrameId = event.params.callFrames[0]?.callFrameId ?? '';
  paused.post('Debugger.evaluateOnCallFrame', { callFrameId, expression: EXPRESSION }, (error, answer) => {
    const value: unknown = error === null ? answer.result.value : undefined;
    if (typeof value === 'number') report(value);
    paused.post('Debugger.resume');
    paused.post('Debugger.disable');
  });
}

function interrupt(): Session {
  const opened = new Session();
  opened.connectToMainThread();
  opened.on('Debugger.paused', (event) => onPaused(opened, event));
  opened.post('Debugger.enable');
  opened.post('Debugger.pause');
  return opened;
}

setInterval(() => {
  // The child leads a process group of its own. A worker that was killed outright can't stop its children; a hanging one would not notice the cut channel.
  if (process.ppid !== parentPid) process.kill(-process.pid, 'SIGKILL');
  const beat = Atomics.load(beats, 0);
  const hangs = beat === lastBeat;
  lastBeat = beat;
  if (!hangs) {
    session?.disconnect();
    session = undefined;
  } else if (session === undefined) {
    report(null);
    session = interrupt();
  }
}, WATCH_INTERVAL_MS);

parentPort?.postMessage('watching');
