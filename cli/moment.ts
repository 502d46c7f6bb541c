/** A moment as the REST interface gives it (RFC 3339), or as the clock of this machine does (milliseconds). */
export type Moment = string | number | undefined;

/** `2026-01-13 10:25` in local time; `-` when there is none. */
export function formatMoment(moment: Moment): string {
  if (moment === undefined) return '-';
  const date = new Date(moment);
  const two = (value: number): string => String(value).padStart(2, '0');
  const day = `${String(date.getFullYear())}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}`;
}

/** The time between two moments (`12ms`, `3.4s`, `2m 05s`, `1h 02m`); `-` while one is missing. */
export function formatDuration(from: Moment, to: Moment): string {
  if (from === undefined || to === undefined) return '-';
  const durationMs = Math.max(0, new Date(to).getTime() - new Date(from).getTime());
  if (durationMs < 1_000) return `${String(durationMs)}ms`;
  if (durationMs < 60_000) return `${(Math.floor(durationMs / 100) / 10).toFixed(1)}s`;
  const seconds = Math.floor(durationMs / 1_000);
  const two = (value: number): string => String(value).padStart(2, '0');
  if (seconds < 3_600) return `${String(Math.floor(seconds / 60))}m ${two(seconds % 60)}s`;
  return `${String(Math.floor(seconds / 3_600))}h ${two(Math.floor(seconds / 60) % 60)}m`;
}
