/**
 * The authority of a cluster as a folder of files, for those without Kubernetes:
 *
 *   ca.crt                 the authorities that every node trusts; two while one follows the other
 *   ca.key                 the key that signs
 *   ca-next.key            the key that will sign, between the first and the second step of a rotation
 *   join.secret            what join tokens are signed with
 *   issued/ROLE-NAME/      node.crt, node.key, ca.crt: copied to that node's `<dataDir>/tls/`
 *
 * Keys are for their owner alone (0600), and every file is replaced whole.
 */
import type { X509Certificate } from 'node:crypto';
import { createPrivateKey } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { alternativeNames, identityOf, isIdentityName, type Identity, type IdentityRole } from '../api/identity.ts';
import { DistricError } from '../base/errors.ts';
import { Authority, DAY_MS, validFor, type Validity } from './authority.ts';
import { createJoinToken, newJoinSecret, readJoinSecret } from './join-token.ts';
import { certificateHash, isIssuedBy, pemOf, readCertificates } from './pem.ts';

export interface IssueOptions {
  role: IdentityRole;
  name: string;
  /** As the certificate before had them, when absent. */
  dnsNames?: readonly string[] | undefined;
  ipAddresses?: readonly string[] | undefined;
  validity: Validity;
}

export interface Issued {
  identity: Identity;
  certificate: X509Certificate;
  /** Folder of node.crt, node.key and ca.crt. */
  folder: string;
}

export const ROTATION_STEPS = ['trust', 'switch', 'drop'] as const;
export type RotationStep = (typeof ROTATION_STEPS)[number];

export class PkiDirectory {
  readonly path: string;

  private constructor(path: string) {
    this.path = path;
  }

  /** Throws ALREADY_EXISTS when there is an authority in `path`: its key would be lost. */
  static async create(path: string, clusterName: string, validity: Validity): Promise<PkiDirectory> {
    const directory = new PkiDirectory(path);
    if (existsSync(directory.#file('ca.key'))) {
      throw new DistricError('ALREADY_EXISTS', `there is an authority in ${path} already: see distric pki show`);
    }
    if (!isIdentityName(clusterName)) {
      const form = 'a name of 1 to 63 letters, digits, ".", "_" or "-"';
      throw new DistricError('INVALID_REQUEST', `the cluster needs ${form}, not ${JSON.stringify(clusterName)}`);
    }
    const { certificate, key } = await Authority.create(clusterName, validity);
    directory.#write('join.secret', newJoinSecret());
    directory.#write('ca.crt', certificate);
    directory.#write('ca.key', key);
    return directory;
  }

  /** Throws NOT_FOUND when there is none. */
  static open(path: string): PkiDirectory {
    const directory = new PkiDirectory(path);
    if (existsSync(directory.#file('ca.key'))) return directory;
    throw new DistricError('NOT_FOUND', `there is no authority in ${path}: make one with distric pki init`);
  }

  get caFile(): string {
    return this.#file('ca.crt');
  }

  get caKeyFile(): string {
    return this.#file('ca.key');
  }

  get joinSecretFile(): string {
    return this.#file('join.secret');
  }

  get clusterName(): string {
    const organisation = /^O=(.*)$/m.exec(this.signing.subject)?.[1];
    if (organisation !== undefined) return organisation;
    throw new DistricError('INVALID_DOCUMENT', `${this.caFile} names no cluster`);
  }

  get trusted(): X509Certificate[] {
    return readCertificates(this.#read('ca.crt'), this.caFile);
  }

  /** The authority that signs now. */
  get signing(): X509Certificate {
    return this.#certificateOf('ca.key');
  }

  /** The next step of a rotation that is under way. */
  get pendingStep(): Exclude<RotationStep, 'trust'> | undefined {
    if (existsSync(this.#file('ca-next.key'))) return 'switch';
    return this.trusted.length > 1 ? 'drop' : undefined;
  }

  get issued(): Issued[] {
    const root = this.#file('issued');
    if (!existsSync(root)) return [];
    return readdirSync(root)
      .sort()
      .map((name) => join(root, name))
      .filter((folder) => existsSync(join(folder, 'node.crt')))
      .map(readIssued);
  }

  /** A new key and certificate, in place of an earlier one of that identity. */
  async issue({ role, name, dnsNames, ipAddresses, validity }: IssueOptions): Promise<Issued> {
    if (!isIdentityName(name))
      throw new DistricError('INVALID_REQUEST', `${JSON.stringify(name)} can't be the name of a node`);
    const folder = `issued/${role}-${name}`;
    const before = existsSync(this.#file(`${folder}/node.crt`))
      ? (readIssued(this.#file(folder)).certificate.subjectAltName ?? '')
      : '';
    const { certificate, key } = await (
      await this.#authority()
    ).issue({
      identity: { clusterName: this.clusterName, role, name },
      dnsNames: dnsNames ?? alternativeNames(before, 'DNS'),
      ipAddresses: ipAddresses ?? alternativeNames(before, 'IP Address'),
      validity,
    });
    this.#write(`${folder}/node.key`, key);
    this.#write(`${folder}/node.crt`, certificate);
    this.#write(`${folder}/ca.crt`, this.#read('ca.crt'));
    return readIssued(this.#file(folder));
  }

  /** All anew, with the names that they have. */
  async reissueAll(validity: Validity): Promise<Issued[]> {
    const made: Issued[] = [];
    for (const { identity } of this.issued) made.push(await this.issue({ ...identity, validity }));
    return made;
  }

  /**
   * One step of replacing the authority; between two, every node has to have what the one before made.
   * trust: a new authority, which all are to trust. switch: it signs, and all get new certificates. drop: the old one is
   * trusted no more. Throws IN_USE when it is another step's turn,
   * or a certificate still needs the old one.
   */
  async rotate(step: RotationStep, authorityValidity: Validity, validity: Validity): Promise<void> {
    const turn = this.pendingStep ?? 'trust';
    if (step !== turn) throw new DistricError('IN_USE', `the next step of the rotation is ${turn}, not ${step}`);
    if (step === 'trust') {
      const { certificate, key } = await Authority.create(this.clusterName, authorityValidity);
      this.#write('ca-next.key', key);
      this.#writeBundle(pemOf(this.trusted) + certificate);
    } else if (step === 'switch') {
      renameSync(this.#file('ca-next.key'), this.#file('ca.key'));
      await this.reissueAll(validity);
    } else {
      this.#checkSwitched();
      this.#writeBundle(pemOf([this.signing]));
    }
  }

  joinToken(grant: { role: 'coordinator' | 'worker'; name?: string; expiresMs: number; uses: number }): string {
    return createJoinToken(readJoinSecret(this.#read('join.secret')), certificateHash(this.signing), grant);
  }

  /** A switch that was cut off leaves certificates of the authority before, and their nodes would be shut out. */
  #checkSwitched(): void {
    const { signing } = this;
    const left = this.issued.filter(({ certificate }) => !isIssuedBy(certificate, signing));
    if (left.length === 0) return;
    const names = left.map(({ identity: { role, name } }) => `${role}/${name}`).join(', ');
    throw new DistricError('IN_USE', `the old authority signed ${names}: first run distric pki issue --all`);
  }

  #authority(): Promise<Authority> {
    return Authority.open({ certificate: this.signing.toString(), key: this.#read('ca.key') });
  }

  #certificateOf(keyFile: string): X509Certificate {
    const key = createPrivateKey(this.#read(keyFile));
    const found = this.trusted.find((certificate) => certificate.checkPrivateKey(key));
    if (found !== undefined) return found;
    throw new DistricError('INVALID_DOCUMENT', `${this.#file(keyFile)} is the key of no authority in ${this.caFile}`);
  }

  #writeBundle(pem: string): void {
    this.#write('ca.crt', pem);
    for (const { folder } of this.issued) writeWhole(join(folder, 'ca.crt'), pem);
  }

  #file(name: string): string {
    return join(this.path, name);
  }

  #read(name: string): string {
    return readFileSync(this.#file(name), 'utf8');
  }

  #write(name: string, text: string): void {
    writeWhole(this.#file(name), text);
  }
}

/** Of certificates that nobody watches over: a quarter, so that a forgotten one shows soon. */
export const CERTIFICATE_MS = 90 * DAY_MS;
export const AUTHORITY_MS = 3_650 * DAY_MS;

export function defaultValidity(nowMs: number): Validity {
  return validFor(CERTIFICATE_MS, nowMs);
}

function readIssued(folder: string): Issued {
  const file = join(folder, 'node.crt');
  const [certificate] = readCertificates(readFileSync(file, 'utf8'), file);
  const identity = identityOf(certificate?.subjectAltName ?? '');
  if (certificate !== undefined && identity !== undefined) return { identity, certificate, folder };
  throw new DistricError('INVALID_DOCUMENT', `${file} is not a certificate of a node`);
}

/** Replaced in one step; keys and secrets for their owner alone, certificates for everybody. */
function writeWhole(file: string, text: string): void {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  const mode = file.endsWith('.crt') ? 0o644 : 0o600;
  const draft = `${file}.${String(process.pid)}.tmp`;
  writeFileSync(draft, text, { mode, flush: true });
  chmodSync(draft, mode);
  renameSync(draft, file);
}
