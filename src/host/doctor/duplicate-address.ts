// Asks a link who else uses an address of ours: ARP probes (RFC 5227 §2.1.1), whose sender address is zero, so that nobody's cache
// changes. IPv6 needs no asking, the kernel has asked when the address was set (RFC 4862 §5.4). For short-lived processes: what
// npm pcap opened is let go when the process ends (why, says src/router/pcap/pcap-port.ts).

import { setTimeout as delay } from 'node:timers/promises';
import pcap from 'pcap';
import { ipToBytes, parseIp } from '../../base/address.ts';
import { type Mac, macFromBytes, macToBytes } from '../../base/ids.ts';

const PROBES = 2;
/** Between probes, and after the last: a link answers within milliseconds. */
const WAIT_MS = 150;
const SNAP_BYTES = 128;
const RING_BYTES = 1 << 20;
const ETHERNET_BYTES = 14;
const ARP_BYTES = 28;
const BROADCAST = new Uint8Array(6).fill(0xff);
/** ARP over Ethernet for IPv4, a request (RFC 826). */
const REQUEST = Buffer.from('0806' + '0001080006040001', 'hex');

export interface OwnAddress {
  readonly ip: string;
  readonly mac: Mac;
}

/** Of our IPv4 addresses on the interface, those that another machine answers for. Rejects when it can't be captured on. */
export async function findDuplicates(
  ifname: string,
  addresses: readonly OwnAddress[],
): Promise<readonly { readonly ip: string; readonly mac: Mac }[]> {
  Object.assign(pcap, { warningHandler: () => {} }); // about interfaces without an address, on the console
  const session = pcap.createSession(ifname, {
    filter: 'arp',
    snap_length: SNAP_BYTES,
    buffer_size: RING_BYTES,
    buffer_timeout: 0,
    promiscuous: false,
  });
  const found = new Map<string, Mac>();
  session.on('packet', ({ buf, header }: pcap.PacketWithHeader) => {
    const frame = buf.subarray(0, Math.min(header.readUInt32LE(8), buf.length));
    const other = usedByOther(frame, addresses);
    if (other !== null) found.set(other.ip, other.mac);
  });
  for (let i = 0; i < PROBES; i++) {
    for (const address of addresses) session.inject(arpProbe(address));
    await delay(WAIT_MS);
  }
  session.close();
  return [...found].map(([ip, mac]) => ({ ip, mac }));
}

/** Who asks nobody's behalf whether the address is used. */
export function arpProbe({ ip, mac }: OwnAddress): Buffer {
  const own = macToBytes(mac);
  return Buffer.concat([BROADCAST, own, REQUEST, own, Buffer.alloc(4), Buffer.alloc(6), ipToBytes(parseIp(ip)!)]);
}

/** The address of ours that this frame's sender claims for another MAC (§2.1.1: in a request or a reply); null: none. */
export function usedByOther(frame: Uint8Array, addresses: readonly OwnAddress[]): OwnAddress | null {
  if (frame.length < ETHERNET_BYTES + ARP_BYTES) return null;
  const mac = macFromBytes(frame, ETHERNET_BYTES + 8);
  const sender = frame.subarray(ETHERNET_BYTES + 14, ETHERNET_BYTES + 18).join('.');
  const own = addresses.some((address) => address.mac === mac);
  const ours = own ? undefined : addresses.find(({ ip }) => ip === sender);
  return ours === undefined ? null : { ip: ours.ip, mac };
}
