/** The program of `verifyInChild`: verifies the directory it is given, and sends the report or the error to its parent. */
import { reasonOf } from '../io/lmdb/storage-error.ts';
import { verifyData } from './verify.ts';
import type { Verdict } from './verify-in-child.ts';

const verdict: Verdict = await verifyData(process.argv[2] ?? '').then(
  (report) => ({ report }),
  (error: unknown) => ({ error: reasonOf(error) }),
);
process.send?.(verdict, () => {
  process.disconnect();
});
