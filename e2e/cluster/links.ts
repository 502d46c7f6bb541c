/** The network of the nodes: the first one's bridge joins them and this machine; each knows the way to all pods. */
import { existsSync } from 'node:fs';
import { FIRST_NODE, NODE_PREFIX_BITS, OUTSIDE_ADDRESS, POD_RANGE, SERVICE_RANGE, type NodePlan } from './layout.ts';
import { run, runIn, runningPid } from './machine.ts';

const BRIDGE = 'nodes';
const OUTSIDE_LINK = 'distric-nodes';

const ip = (...words: string[]): string => run('ip', words);
const ipIn = (node: NodePlan, ...words: string[]): string => runIn(node, ['ip', ...words]);
const withPrefix = (address: string): string => `${address}/${String(NODE_PREFIX_BITS)}`;

export function connect(node: NodePlan): void {
  ipIn(node, 'link', 'set', 'lo', 'up');
  setIn(node, 'net/ipv4/ip_forward', '1');
  setIn(node, 'net/bridge/bridge-nf-call-iptables', '0');
  if (node.number === FIRST_NODE.number) connectFirst(node);
  else connectFurther(node);
}

function connectFirst(node: NodePlan): void {
  ipIn(node, 'link', 'add', BRIDGE, 'type', 'bridge');
  ipIn(node, 'address', 'add', withPrefix(node.address), 'dev', BRIDGE);
  ipIn(node, 'link', 'set', BRIDGE, 'up');
  ip('link', 'add', OUTSIDE_LINK, 'type', 'veth', 'peer', 'name', 'outside', 'netns', runningPid(node));
  intoBridge('outside');
  ip('address', 'add', withPrefix(OUTSIDE_ADDRESS), 'dev', OUTSIDE_LINK);
  ip('link', 'set', OUTSIDE_LINK, 'up');
  for (const range of [POD_RANGE, SERVICE_RANGE]) ip('route', 'add', range, 'via', node.address);
  // A service's address is turned into a pod's only after there is a way to it at all.
  ipIn(node, 'route', 'add', SERVICE_RANGE, 'dev', BRIDGE);
}

function connectFurther(node: NodePlan): void {
  // Only the network of the first node is entered: process numbers are those of the machine.
  const entered = ['--target', runningPid(FIRST_NODE), '--net', 'ip'];
  const peer = ['type', 'veth', 'peer', 'name', 'eth0', 'netns', runningPid(node)];
  run('nsenter', [...entered, 'link', 'add', node.name, ...peer]);
  intoBridge(node.name);
  ipIn(node, 'address', 'add', withPrefix(node.address), 'dev', 'eth0');
  ipIn(node, 'link', 'set', 'eth0', 'up');
  ipIn(node, 'route', 'add', SERVICE_RANGE, 'dev', 'eth0');
  ipIn(node, 'route', 'add', FIRST_NODE.podSubnet, 'via', FIRST_NODE.address);
  ipIn(FIRST_NODE, 'route', 'add', node.podSubnet, 'via', node.address);
}

function setIn(node: NodePlan, name: string, value: string): void {
  const file = `/proc/sys/${name}`;
  if (existsSync(file)) runIn(node, ['tee', file], value);
}

function intoBridge(link: string): void {
  ipIn(FIRST_NODE, 'link', 'set', link, 'master', BRIDGE);
  ipIn(FIRST_NODE, 'link', 'set', link, 'up');
}
