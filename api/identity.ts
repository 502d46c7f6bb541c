/**
 * Who a certificate speaks for: one URI in its subject alternative names, `distric://CLUSTER/ROLE/NAME`
 * (RFC 3986 syntax, compared byte by byte and never normalised).
 */
export const IDENTITY_ROLES = ['coordinator', 'worker', 'operator', 'client'] as const;
export type IdentityRole = (typeof IDENTITY_ROLES)[number];

export interface Identity {
  clusterName: string;
  role: IdentityRole;
  /** Node id of a coordinator or worker, else a name of the owner's choice. */
  name: string;
}

export const IDENTITY_SCHEME = 'distric://';

/** As `clusterName` and `nodeId` of the configuration. */
const NAME = '[A-Za-z0-9][A-Za-z0-9._-]{0,62}';
const URI = new RegExp(`^${IDENTITY_SCHEME}(${NAME})/([a-z]+)/(${NAME})$`);
const PLAIN_NAME = new RegExp(`^${NAME}$`);

export function isIdentityRole(text: string): text is IdentityRole {
  return (IDENTITY_ROLES as readonly string[]).includes(text);
}

export function isIdentityName(text: string): boolean {
  return PLAIN_NAME.test(text);
}

export function identityUri({ clusterName, role, name }: Identity): string {
  return `${IDENTITY_SCHEME}${clusterName}/${role}/${name}`;
}

/** Undefined for anything but exactly such a URI. */
export function parseIdentityUri(text: string): Identity | undefined {
  const [, clusterName, role, name] = URI.exec(text) ?? [];
  if (clusterName === undefined || role === undefined || name === undefined || !isIdentityRole(role)) return undefined;
  return { clusterName, role, name };
}

/** One entry of the text that Node gives for a certificate's subject alternative names, such as `DNS:a, URI:b`. */
const ENTRY = /(?:^|, )([A-Za-z ]+):("(?:[^"\\]|\\.)*"|[^,"]*)/y;

/**
 * The names of one `kind` (`DNS`, `URI`, `IP Address`). A value with a comma or a quote in it is written as a JSON
 * string there (CVE-2021-44532), so that it can't pass for two entries: it is read as one again.
 */
export function alternativeNames(subjectAltName: string, kind: string): string[] {
  const names: string[] = [];
  ENTRY.lastIndex = 0;
  while (ENTRY.lastIndex < subjectAltName.length) {
    const [, entryKind, value] = ENTRY.exec(subjectAltName) ?? [];
    // What does not read to its end is not trusted in part.
    if (entryKind === undefined || value === undefined) return [];
    if (entryKind === kind) names.push(value.startsWith('"') ? unquoted(value) : value);
  }
  return names;
}

function unquoted(value: string): string {
  try {
    return String(JSON.parse(value));
  } catch {
    return value;
  }
}

/** The identity in a certificate's alternative names; undefined when there is none, or more than one. */
export function identityOf(subjectAltName: string): Identity | undefined {
  const uris = alternativeNames(subjectAltName, 'URI').filter((uri) => uri.startsWith(IDENTITY_SCHEME));
  return uris.length === 1 && uris[0] !== undefined ? parseIdentityUri(uris[0]) : undefined;
}
