import { readFileSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import { parseMessage } from '../../api/message.ts';
import { compileRules } from '../../node/core/rules/rule-set.ts';
import { builtinPlugins } from '../../node/plugins/builtin/catalog.ts';
import { TerminalError } from '../../node/plugins/sdk.ts';
import { dryRun, pluginTable, readDocuments } from '../dry-run.ts';
import { startReceiver } from '../github/receiver.ts';

const { rules, workflows } = readDocuments(import.meta.dirname);
const ruleSet = compileRules(rules);
const messages = new Map(
  readFileSync(new URL('samples/payments.ndjson', import.meta.url), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => parseMessage(line))
    .map((message) => [String(message['payment_id']), message]),
);

function messageOf(payment: string): Record<string, unknown> {
  const message = messages.get(payment);
  if (message === undefined) throw new Error(`no sample ${payment}`);
  return message;
}

describe('the rules of examples/payments', () => {
  it('start only workflows that are there, and every workflow is started by one', () => {
    const started = new Set(rules.flatMap((rule) => rule.actions.map((action) => action.workflow)));
    expect([...started].sort()).toEqual(workflows.map((workflow) => workflow.id).sort());
  });

  it.each([
    ['pay-1001', ['ordinary-payment']],
    ['pay-1002', ['large-payment']],
    ['pay-1003', ['large-payment']],
    ['pay-1004', ['new-customer-spree']],
    ['pay-1005', ['card-testing']],
    ['pay-1006', ['card-testing']],
    ['pay-1007', []],
    ['pay-1008', ['ordinary-payment']],
    ['pay-0815', ['chargeback']],
    ['pay-0816', []],
    ['pay-0990', []],
  ])('%s is a case for %j', (payment, expected) => {
    expect(ruleSet.match(messageOf(payment), {}).map((rule) => rule.id)).toEqual(expected);
  });
});

/** The one workflow that the payment starts, and what it starts with. */
function started(payment: string) {
  const message = messageOf(payment);
  const [action] = ruleSet.match(message, {}).flatMap((rule) => rule.actions);
  const workflow = workflows.find(({ id }) => id === action?.workflow);
  if (workflow === undefined) throw new Error(`${payment} starts no workflow`);
  return { workflow, start: { instanceId: payment, message, params: action?.params ?? {} } };
}

async function run(payment: string) {
  const { workflow, start } = started(payment);
  return dryRun(workflow, pluginTable(builtinPlugins({ httpAllow: '' })), start);
}

describe('the workflows of examples/payments', () => {
  it.each([
    ['pay-1002', { risk_level: 'high', points: 20, decision: 'accept' }],
    ['pay-1003', { risk_level: 'high', points: 105, decision: 'refuse' }],
    ['pay-1004', { risk_level: 'medium', points: 55, decision: 'review' }],
  ])('fraud_check judges %s by all three scores', async (payment, verdict) => {
    expect((await run(payment)).get('verdict')).toEqual({ payment, ...verdict });
  });

  it('settle_payment takes the fee, rounded half to even, off the payout', async () => {
    expect((await run('pay-1001')).get('booking')).toEqual({ payment: 'pay-1001', fee: 0.84, payout: 41.66 });
  });

  it('block_card says which card and why', async () => {
    const reason = 'small payments to try out stolen cards';
    expect((await run('pay-1005')).get('decision')).toEqual({ card: 'card-5', blocked: true, reason });
  });

  it('fraud_alert reaches the fraud desk at the address that the worker allows, and no other', async () => {
    const notices: unknown[] = [];
    const receiver = await startReceiver({ onNotice: (_key, notice) => notices.push(notice) });
    const { workflow, start } = started('pay-0815');
    const tasks = workflow.tasks.map((task) =>
      task.type === 'webhook' ? { ...task, config: { ...task.config, url: receiver.url } } : task,
    );
    const alert = (httpAllow: string) =>
      dryRun({ ...workflow, tasks }, pluginTable(builtinPlugins({ httpAllow })), start);

    await expect(alert('')).rejects.toThrow(TerminalError);
    expect(notices).toEqual([]);
    const outputs = await alert(new URL(receiver.url).host);
    expect(outputs.get('case')).toEqual({ payment: 'pay-0815', desk: 'chargebacks', amount: 1200, urgent: true });
    expect(outputs.get('send_alert')).toMatchObject({ status: 204 });
    expect(notices).toEqual([start.message]);
    await receiver.close();
  });
});
