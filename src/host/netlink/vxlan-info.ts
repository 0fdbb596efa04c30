// What makes a link a VXLAN device (RFC 7348): IFLA_INFO_DATA of kind `vxlan`, written and read. Only devices whose forwarding
// entries are all static, which neither learn nor fragment. linux/if_link.h, IFLA_VXLAN_*.

import { ipFromBytes, ipToBytes } from '../../base/address.ts';
import type { Attributes, MessageWriter } from './message.ts';
import type { VxlanConfig, VxlanOptions } from './objects.ts';

export const VXLAN_KIND = 'vxlan';

const IFLA_VXLAN_ID = 1;
const IFLA_VXLAN_LOCAL = 4;
const IFLA_VXLAN_LEARNING = 7;
const IFLA_VXLAN_PORT = 15;
const IFLA_VXLAN_LOCAL6 = 17;
const IFLA_VXLAN_DF = 29;
/** VXLAN_DF_SET of enum ifla_vxlan_df. */
const DF_SET = 1;
const ANY6 = new Uint8Array(16);

/** The family of a device follows from its local address: an unspecified one makes it IPv6 and binds it to none. */
export function writeVxlanInfo(data: MessageWriter, { vni, port, family, local }: VxlanConfig): void {
  data.attributeU32(IFLA_VXLAN_ID, vni);
  if (family === 6) data.attribute(IFLA_VXLAN_LOCAL6, local === null ? ANY6 : ipToBytes(local));
  else if (local !== null) data.attribute(IFLA_VXLAN_LOCAL, ipToBytes(local));
  data.attributeU8(IFLA_VXLAN_LEARNING, 0);
  data.attribute(IFLA_VXLAN_PORT, Uint8Array.of(port >>> 8, port & 0xff));
  data.attributeU8(IFLA_VXLAN_DF, DF_SET);
}

/** Null when it learns, fragments or says too little: such a device is none of ours. */
export function parseVxlanInfo(data: Attributes): VxlanOptions | null {
  const vni = data.u32(IFLA_VXLAN_ID);
  const port = data.bytes(IFLA_VXLAN_PORT);
  if (vni === null || port?.length !== 2) return null;
  if (data.u8(IFLA_VXLAN_LEARNING) !== 0 || data.u8(IFLA_VXLAN_DF) !== DF_SET) return null;
  const local = data.bytes(IFLA_VXLAN_LOCAL6) ?? data.bytes(IFLA_VXLAN_LOCAL);
  return { vni, port: (port[0]! << 8) | port[1]!, local: local === null ? null : ipFromBytes(local) };
}
