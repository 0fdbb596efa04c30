import { expect, test } from 'vitest';
import { detailPage } from '../../../src/cli/status/detail-page.ts';
import { other, status, tunnel } from './some-status.ts';

test('of a peer: its tunnel and what is there', () => {
  const reason = 'the path carries 1280 of 1500 bytes: larger frames go in pieces';
  expect(detailPage(status({ tunnels: [{ ...tunnel, reason }] }), 'peers')).toBe(`host       two
id         ${other}
state      alive
endpoint   192.0.2.12:6783
last seen  now

tunnel
  peer                two  ${other}
  state               established
  not better because  ${reason}
  endpoint            192.0.2.12:6783
  datapath            pcap, encrypted, aes-256-gcm
  path MTU            1500 bytes
  handshake           1.2 ms
  sent                2.0 KiB in 2 frames
  received            10 B in 1 frames
  dropped             5: 2 replayed, 3 no-endpoint (docs/drops.md)

addresses that it owns
  NETWORK  BLOCK         HOST  EPOCH  USED  SIZE    STATE    EXPIRES
  fabric   10.40.0.0/13  two   1      -     524288  foreign  -

what lives there
  NETWORK  MAC                ADDRESSES     HOST  SEQ  STATE    REASON
  fabric   02:00:00:00:00:02  10.40.0.5/12  two   1    refused  it does not own that address

names there
  NAME                ADDRESSES     HOST  NETWORK
  db.fabric.internal  10.40.0.5/12  two   fabric`);
});

test('of a peer without a tunnel', () => {
  expect(detailPage(status({ tunnels: [] }), 'peers')).toContain('tunnel\n  none\n');
});

test('of an attachment: every field that is known', () => {
  const page = detailPage(status(), 'attachments');
  expect(page).toContain('container id    c0ffee0123456789');
  expect(page).toContain('host ifname     fab1');
  expect(page).toContain('namespace path  /run/netns/web');
});

test('of a lease and of a route: their host by nickname and id', () => {
  expect(detailPage(status(), 'leases')).toContain(`host     two  ${other}`);
  expect(detailPage(status(), 'routes')).toContain(`host      one  ${'aa'.repeat(16)}`);
  const stranger = 'cc'.repeat(16);
  const [lease] = status().leases;
  expect(detailPage(status({ leases: [{ ...lease!, peer: stranger }] }), 'leases')).toContain(`host     ${stranger}`);
});

test('control characters of names from the network are shown', () => {
  expect(detailPage(status({ tunnels: [{ ...tunnel, nickname: 'a\u001b[2J' }] }), 'tunnels')).toContain('a\\x1b[2J');
});

test.each([
  ['none', null],
  ['here', 'path  *direct through NAT of this host'],
  ['both', 'path  *direct through NAT of both hosts'],
] as const)('of a tunnel: which NATs it goes through (%s)', (nat, line) => {
  const page = detailPage(status({ tunnels: [{ ...tunnel, nat }] }), 'tunnels');
  if (line === null) expect(page).not.toContain('NAT');
  else expect(page).toMatch(new RegExp(line));
});
