import fc from 'fast-check';
import { expect, it } from 'vitest';
import { fromHex } from '../../../src/base/bytes.ts';
import { tellsOfForwarding } from '../../../src/host/linux/netconf.ts';

// Captured on Linux 6.18: `sysctl -w net.ipv4.ip_forward=1` sends one message for all, one for default, one per interface.
const SWITCHED = '240000005000000000000000000000000200000008000100ffffffff0800020001000000';
const SWITCHED6 = '240000005000000000000000000000000a00000008000100ffffffff0800020001000000';
const DEFAULT = '240000005000000000000000000000000200000008000100feffffff0800020001000000';
const NEW_INTERFACE =
  '3c0000005000000000000000000000000a00000008000100020000000800020000000000080004000000000008000500000000000800060000000000';

it.each([
  ['the IPv4 switch', SWITCHED, true],
  ['the IPv6 switch', SWITCHED6, true],
  ['the switch behind another message', DEFAULT + SWITCHED, true],
  ['the default for new interfaces', DEFAULT, false],
  ['a new interface', NEW_INTERFACE, false],
  ['nothing', '', false],
])('%s', (_name, hex, expected) => {
  expect(tellsOfForwarding(fromHex(hex)!)).toBe(expected);
});

it('never throws', () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 120 }), (bytes) => void tellsOfForwarding(bytes)));
});
