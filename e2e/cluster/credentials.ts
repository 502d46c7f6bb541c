/** Who is who in the test cluster: one authority, and a certificate for each part, as Kubernetes names them (PKI docs). */
import 'reflect-metadata';
import {
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
  type X509Certificate,
} from '@peculiar/x509';
import { randomBytes, webcrypto } from 'node:crypto';
import { join } from 'node:path';
import { stringify } from 'yaml';
import {
  API_SERVICE_ADDRESS,
  API_URL,
  CLUSTER_DOMAIN,
  FIRST_NODE,
  STATE_DIR,
  writeInto,
  type NodePlan,
} from './layout.ts';

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const DAY_MS = 86_400_000;
const DIR = join(STATE_DIR, 'pki');

/** A certificate and its key, as files and as PEM. */
export interface Credential {
  certificateFile: string;
  keyFile: string;
  certificate: string;
  key: string;
}

interface Subject {
  name: string;
  commonName: string;
  organization?: string;
  dnsNames?: readonly string[];
  addresses?: readonly string[];
}

export class Credentials {
  readonly authority: Credential;
  readonly #certificate: X509Certificate;
  readonly #keys: webcrypto.CryptoKeyPair;

  private constructor(authority: Credential, certificate: X509Certificate, keys: webcrypto.CryptoKeyPair) {
    this.authority = authority;
    this.#certificate = certificate;
    this.#keys = keys;
  }

  static async create(): Promise<Credentials> {
    const keys = await newKeys();
    const certificate = await X509CertificateGenerator.createSelfSigned({
      ...validity(),
      name: [{ CN: ['test cluster authority'] }],
      signingAlgorithm: ALGORITHM,
      keys,
      extensions: [
        new BasicConstraintsExtension(true, undefined, true),
        new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.digitalSignature, true),
      ],
    });
    return new Credentials(await written('ca', certificate, keys), certificate, keys);
  }

  async issue(subject: Subject): Promise<Credential> {
    const keys = await newKeys();
    const names = [
      ...(subject.dnsNames ?? []).map((value) => ({ type: 'dns' as const, value })),
      ...(subject.addresses ?? []).map((value) => ({ type: 'ip' as const, value })),
    ];
    const organization = subject.organization === undefined ? [] : [{ O: [subject.organization] }];
    const certificate = await X509CertificateGenerator.create({
      ...validity(),
      subject: [...organization, { CN: [subject.commonName] }],
      issuer: this.#certificate.subjectName,
      signingAlgorithm: ALGORITHM,
      publicKey: keys.publicKey,
      signingKey: this.#keys.privateKey,
      extensions: [
        new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
        new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth, ExtendedKeyUsage.clientAuth]),
        ...(names.length === 0 ? [] : [new SubjectAlternativeNameExtension(names)]),
      ],
    });
    return written(subject.name, certificate, keys);
  }

  apiServer(): Promise<Credential> {
    const service = ['kubernetes', 'kubernetes.default', 'kubernetes.default.svc'];
    return this.issue({
      name: 'kube-apiserver',
      commonName: 'kube-apiserver',
      dnsNames: [...service, `kubernetes.default.svc.${CLUSTER_DOMAIN}`, 'localhost'],
      addresses: [FIRST_NODE.address, API_SERVICE_ADDRESS, '127.0.0.1'],
    });
  }

  /** Good for the kubelet's calls and for those that it answers. */
  node(node: NodePlan): Promise<Credential> {
    return this.issue({
      name: node.name,
      commonName: `system:node:${node.name}`,
      organization: 'system:nodes',
      dnsNames: [node.name],
      addresses: [node.address],
    });
  }

  admin(name: string): Promise<Credential> {
    return this.issue({ name, commonName: name, organization: 'system:masters' });
  }

  part(name: string): Promise<Credential> {
    return this.issue({ name, commonName: `system:${name}` });
  }

  /** Writes a kubeconfig that holds all it needs. */
  kubeconfig(file: string, credential: Credential): string {
    const base64 = (text: string): string => Buffer.from(text).toString('base64');
    const cluster = { server: API_URL, 'certificate-authority-data': base64(this.authority.certificate) };
    const user = {
      'client-certificate-data': base64(credential.certificate),
      'client-key-data': base64(credential.key),
    };
    const document = {
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [{ name: 'distric-test', cluster }],
      users: [{ name: 'user', user }],
      contexts: [{ name: 'distric-test', context: { cluster: 'distric-test', user: 'user' } }],
      'current-context': 'distric-test',
    };
    return writeInto(file, stringify(document));
  }
}

async function newKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
}

function validity(): { serialNumber: string; notBefore: Date; notAfter: Date } {
  const nowMs = Date.now();
  return {
    serialNumber: randomBytes(16).toString('hex').replace(/^./, '4'),
    notBefore: new Date(nowMs - DAY_MS),
    notAfter: new Date(nowMs + 365 * DAY_MS),
  };
}

async function written(name: string, signed: X509Certificate, keys: webcrypto.CryptoKeyPair): Promise<Credential> {
  const pkcs8 = await webcrypto.subtle.exportKey('pkcs8', keys.privateKey);
  const body =
    Buffer.from(pkcs8)
      .toString('base64')
      .match(/.{1,64}/g) ?? [];
  const key = `-----BEGIN PRIVATE KEY-----\n${body.join('\n')}\n-----END PRIVATE KEY-----\n`;
  const certificate = signed.toString('pem');
  return {
    certificate,
    key,
    certificateFile: writeInto(join(DIR, `${name}.crt`), certificate),
    keyFile: writeInto(join(DIR, `${name}.key`), key),
  };
}
