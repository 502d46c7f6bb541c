import { runSeed } from './simulation.ts';
const from = Number(process.argv[2] ?? 1), n = Number(process.argv[3] ?? 1);
const verbose = process.argv[4] === '-v';
for (let seed = from; seed < from + n; seed++) {
  const t = performance.now();
  const r = runSeed(seed, verbose ? (line) => console.log(line) : undefined);
  console.log(seed, r.traceHash, r.virtualSeconds.toFixed(0), r.events, (performance.now() - t).toFixed(0) + 'ms', r.failure?.check, r.failure?.detail);
  if (n === 1) console.log([...r.counts].sort().map(([k, v]) => `${k}=${v}`).join(', '));
}
