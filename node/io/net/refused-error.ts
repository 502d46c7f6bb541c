/** What a caller is told when one of the two ends refuses the other: the reason of the protocol, and the way out. */
import { DistricError } from '../../../base/errors.ts';

interface Advice {
  /** The setting of the caller that is at fault, or that would mend it. */
  field: string;
  /** When the other end refuses the caller's certificate or HELLO. */
  ours: string;
  /** When the caller refuses the other end's. */
  theirs: string;
}

const ISSUE = 'issue another with the authority of this cluster: distric pki issue client/NAME';
const OTHER_END = 'renew the certificate of that coordinator, or mend the clock here';

const ADVICE: Readonly<Record<string, Advice>> = {
  certificate_missing: {
    field: 'tls',
    ours: `nodes with TLS want a certificate of every client; ${ISSUE}`,
    theirs: 'that coordinator shows none',
  },
  certificate_untrusted: {
    field: 'tls.authorities',
    ours: `no authority that the coordinator trusts has signed it; ${ISSUE}`,
    theirs: "none of the authorities given here has signed it; give the cluster's ca.crt",
  },
  certificate_expired: { field: 'tls.certificate', ours: `its time is over; ${ISSUE}`, theirs: OTHER_END },
  certificate_not_yet_valid: {
    field: 'tls.certificate',
    ours: 'its time has not come: mend the clock of the coordinator, or that of whoever issued it',
    theirs: OTHER_END,
  },
  certificate_invalid: { field: 'tls.certificate', ours: ISSUE, theirs: OTHER_END },
  certificate_of_another_cluster: {
    field: 'clusterName',
    ours: `it belongs to another cluster; ${ISSUE}`,
    theirs: 'that coordinator belongs to another cluster: look at the servers and the cluster name given here',
  },
  certificate_of_another_role: {
    field: 'tls.certificate',
    ours: `only certificates of clients and operators are let in; ${ISSUE}`,
    theirs: 'what answers there is no coordinator: look at the servers given here',
  },
  certificate_of_another_node: {
    field: 'servers',
    ours: ISSUE,
    theirs: 'what answers there calls itself by another name than its certificate does',
  },
  wrong_cluster: {
    field: 'clusterName',
    ours: 'the coordinator belongs to a cluster of another name: look at the servers and the cluster name given here',
    theirs: 'the coordinator belongs to a cluster of another name',
  },
};

/** UNAUTHENTICATED with the reason; its one field names the setting. */
export class RefusedError extends DistricError {
  /** Undefined for a `reason` that is no refusal. */
  static of(address: string, reason: string, byPeer: boolean): RefusedError | undefined {
    if (!Object.hasOwn(ADVICE, reason)) return undefined;
    const advice = ADVICE[reason];
    if (advice === undefined) return undefined;
    const { field, ours, theirs } = advice;
    const text = byPeer
      ? `the coordinator at ${address} refuses this client: ${reason}: ${ours}`
      : `the coordinator at ${address} is refused here: ${reason}: ${theirs}`;
    return new RefusedError('UNAUTHENTICATED', text, [{ field, reason }]);
  }
}
