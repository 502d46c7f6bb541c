/**
 * `notify`: tells a receiver over HTTP. The address is config.url, else GITHUB_EXAMPLE_RECEIVER; without either nothing
 * is sent and the output says so, so that the example also runs where nobody listens.
 *
 * The body carries the title, the markdown and the labels of the tasks before this one. The `Idempotency-Key` header is
 * the same for every attempt, `Distric-Fencing-Token` rises with each: a receiver can drop repeats by the first and
 * stragglers by the second. Output: {delivered, status} or {delivered: false, reason}.
 */
import process from 'node:process';
import { definePlugin, RetryableError, TerminalError } from 'distric/plugin';
import { markdownOf, textAt, valueAt } from '../payload.ts';

export const plugin = definePlugin<{ url?: string; channel: string }>({
  name: 'notify',
  version: '1.0.0',
  configSchema: {
    type: 'object',
    properties: { url: { type: 'string', pattern: '^https?://' }, channel: { type: 'string' } },
    required: ['channel'],
    additionalProperties: false,
  },
  async execute(ctx) {
    const url = ctx.config.url ?? process.env['GITHUB_EXAMPLE_RECEIVER'] ?? '';
    if (url === '') return { delivered: false, reason: 'no receiver: set GITHUB_EXAMPLE_RECEIVER or config.url' };

    const response = await post(url, ctx.signal, {
      headers: {
        'content-type': 'application/json',
        'idempotency-key': ctx.idempotencyKey,
        'distric-fencing-token': String(ctx.token),
      },
      body: JSON.stringify({
        channel: textAt(ctx.params, 'channel', 'queue', 'team') || ctx.config.channel,
        delivery: textAt(ctx.message, 'delivery.id'),
        workflow: ctx.workflow,
        ...noticeOf(ctx.outputs),
      }),
    });
    // The body is of no use here; a connection that is left unread would stay open.
    await response.body?.cancel();
    if (response.ok) return { delivered: true, status: response.status };
    const fault = `notify ${url}: it answered ${String(response.status)}`;
    if (response.status === 429 || response.status >= 500) throw new RetryableError(fault);
    throw new TerminalError(fault);
  },
});

async function post(
  url: string,
  signal: AbortSignal,
  request: { headers: Record<string, string>; body: string },
): Promise<Response> {
  try {
    return await fetch(url, { method: 'POST', redirect: 'error', signal, ...request });
  } catch (error) {
    throw new RetryableError(`notify ${url}: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  }
}

function noticeOf(outputs: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const values = Object.values(outputs);
  const titled = values.find((value) => textAt(value, 'title') !== '');
  const labelled = values.find((value) => Array.isArray(valueAt(value, 'labels')));
  return {
    title: textAt(titled, 'title'),
    url: textAt(titled, 'url'),
    page: values.some((value) => valueAt(value, 'page') === true),
    labels: valueAt(labelled, 'labels') ?? [],
    markdown: markdownOf(outputs).join('\n\n'),
  };
}
