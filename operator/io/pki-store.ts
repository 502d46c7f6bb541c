/** The secrets of a cluster's certificates: what is in them, and how each is made. Keys are in no log and no status. */
import { X509Certificate } from 'node:crypto';
import { Authority, DAY_MS, validFor } from '../../pki/authority.ts';
import { createJoinToken, readJoinSecret } from '../../pki/join-token.ts';
import { certificateHash, isIssuedBy, readCertificates } from '../../pki/pem.ts';
import type { KubeObject, PkiView } from '../planner/model.ts';
import {
  authorityName,
  dnsNames,
  joinTokenName,
  labelsOf,
  madeSecretName,
  nodeTlsName,
  operatorTlsName,
  type Owner,
  ownedMetadata,
} from '../planner/names.ts';
import { AUTHORITY_DAYS, JOIN_TOKEN_DAYS } from '../planner/tls.ts';

/** Text of one key of a secret; undefined when either is not there. */
export type ReadSecret = (name: string, key: string) => string | undefined;

const CHANGED_KEY = 'changed';
const UNTIL_KEY = 'until';
/** Each coordinator counts how often it takes a token: a pool may start anew many times in its life. */
const TOKEN_USES = 1_000_000;

const untilMs = (pem: string | undefined): number | undefined =>
  pem === undefined ? undefined : new X509Certificate(pem).validToDate.getTime();
const numberOf = (text: string | undefined): number | undefined => (text === undefined ? undefined : Number(text));

/** `nodes`: those whose certificates are looked for. */
export function pkiView({ name }: Owner, read: ReadSecret, nodes: readonly string[]): PkiView {
  const signer = read(authorityName(name), 'signer.crt');
  const bundle = read(authorityName(name), 'ca.crt');
  const issuer = signer === undefined ? undefined : new X509Certificate(signer);
  const ends = nodes.flatMap((node): [string, number][] => {
    const pem = read(nodeTlsName(name), `${node}.crt`);
    if (pem === undefined || issuer === undefined) return [];
    const certificate = new X509Certificate(pem);
    return isIssuedBy(certificate, issuer) ? [[node, certificate.validToDate.getTime()]] : [];
  });
  // What a node trusts has to be what the authority's secret says.
  const isSpread = read(nodeTlsName(name), 'ca.crt') === bundle;
  return {
    authorityUntilMs: untilMs(signer),
    trusted: bundle === undefined ? 0 : readCertificates(bundle, 'the bundle').length,
    changedMs: numberOf(read(authorityName(name), CHANGED_KEY)) ?? 0,
    nodes: new Map(isSpread ? ends : []),
    operatorUntilMs:
      read(operatorTlsName(name), 'ca.crt') === bundle ? untilMs(read(operatorTlsName(name), 'tls.crt')) : undefined,
    joinTokenUntilMs: numberOf(read(joinTokenName(name), UNTIL_KEY)),
  };
}

function secret(owner: Owner, name: string, stringData: Record<string, string>): KubeObject {
  const metadata = ownedMetadata(owner, name, labelsOf(owner.name));
  const data = Object.entries(stringData).map(([key, text]) => [key, Buffer.from(text).toString('base64')]);
  return { apiVersion: 'v1', kind: 'Secret', metadata, type: 'Opaque', data: Object.fromEntries(data) as object };
}

export async function authoritySecret(
  owner: Owner,
  read: ReadSecret,
  step: 'create' | 'trust' | 'switch' | 'drop',
  nowMs: number,
): Promise<KubeObject> {
  const name = authorityName(owner.name);
  const have = (key: string): string => read(name, key) ?? '';
  const fresh = await Authority.create(owner.name, validFor(AUTHORITY_DAYS * DAY_MS, nowMs));
  const current = { 'ca.crt': have('ca.crt'), 'signer.crt': have('signer.crt'), 'ca.key': have('ca.key') };
  const next = { 'next.crt': have('next.crt'), 'next.key': have('next.key') };
  const content = {
    create: { 'ca.crt': fresh.certificate, 'signer.crt': fresh.certificate, 'ca.key': fresh.key },
    trust: {
      ...current,
      'ca.crt': current['signer.crt'] + fresh.certificate,
      'next.crt': fresh.certificate,
      'next.key': fresh.key,
    },
    switch: {
      'ca.crt': next['next.crt'] + current['signer.crt'],
      'signer.crt': next['next.crt'],
      'ca.key': next['next.key'],
    },
    drop: { ...current, 'ca.crt': current['signer.crt'] },
  }[step];
  return secret(owner, name, { ...content, [CHANGED_KEY]: String(nowMs) });
}

async function signer(owner: Owner, read: ReadSecret): Promise<{ authority: Authority; bundle: string }> {
  const of = (key: string): string => read(authorityName(owner.name), key) ?? '';
  return {
    authority: await Authority.open({ certificate: of('signer.crt'), key: of('ca.key') }),
    bundle: of('ca.crt'),
  };
}

/** Certificates of all `nodes`, made anew. */
export async function nodesSecret(
  owner: Owner,
  read: ReadSecret,
  nodes: readonly string[],
  days: number,
  nowMs: number,
): Promise<KubeObject> {
  const { authority, bundle } = await signer(owner, read);
  const content: Record<string, string> = { 'ca.crt': bundle };
  for (const node of nodes) {
    const { certificate, key } = await authority.issue({
      identity: { clusterName: owner.name, role: 'coordinator', name: node },
      dnsNames: dnsNames(owner, node),
      ipAddresses: ['127.0.0.1'],
      validity: validFor(days * DAY_MS, nowMs),
    });
    content[`${node}.crt`] = certificate;
    content[`${node}.key`] = key;
  }
  return secret(owner, nodeTlsName(owner.name), content);
}

export async function operatorSecret(owner: Owner, read: ReadSecret, days: number, nowMs: number): Promise<KubeObject> {
  const { authority, bundle } = await signer(owner, read);
  const { certificate, key } = await authority.issue({
    identity: { clusterName: owner.name, role: 'operator', name: 'distric-operator' },
    dnsNames: [],
    ipAddresses: [],
    validity: validFor(days * DAY_MS, nowMs),
  });
  return secret(owner, operatorTlsName(owner.name), { 'ca.crt': bundle, 'tls.crt': certificate, 'tls.key': key });
}

/** For workers: pods of a Deployment have names that nobody knows before. */
export function joinTokenSecret(owner: Owner, read: ReadSecret, nowMs: number): KubeObject {
  const authority = new X509Certificate(read(authorityName(owner.name), 'signer.crt') ?? '');
  const joinSecret = readJoinSecret(read(madeSecretName(owner.name, 'join'), 'join.secret') ?? '');
  const expiresMs = nowMs + JOIN_TOKEN_DAYS * DAY_MS;
  const grant = { role: 'worker', expiresMs, uses: TOKEN_USES } as const;
  const token = createJoinToken(joinSecret, certificateHash(authority), grant);
  return secret(owner, joinTokenName(owner.name), { token, [UNTIL_KEY]: String(expiresMs) });
}
