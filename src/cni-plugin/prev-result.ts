// What CHECK demands of prevResult: it still holds what we gave.

import { formatIp } from '../base/address.ts';
import type { AttachedAddress, Attachment } from './backend.ts';
import type { CniResult } from './result-read.ts';

/** Later plugins of the chain may add to a result and change links; what we gave must still be in it. */
export function prevResultFindings(
  prevResult: CniResult,
  attachment: Pick<Attachment, 'ifname' | 'addresses'>,
): readonly string[] {
  const findings: string[] = [];
  if (!prevResult.interfaces.some(({ name, sandbox }) => name === attachment.ifname && sandbox !== '')) {
    findings.push(`prevResult lacks the container's interface ${attachment.ifname}`);
  }
  return [...findings, ...missingAddresses(prevResult, attachment.addresses)];
}

/** What was given and is not in the result any more, in words. */
export function missingAddresses(prevResult: CniResult, addresses: readonly AttachedAddress[]): readonly string[] {
  const listed = new Set(prevResult.ips.map(({ ip }) => formatIp(ip)));
  return addresses
    .filter(({ address }) => !listed.has(address.split('/')[0] ?? address))
    .map(({ address }) => `prevResult lacks the address ${address}`);
}
