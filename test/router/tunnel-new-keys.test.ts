import { expect, test } from 'vitest';
import { twoHosts } from './tunnel-harness.ts';

test('new keys of a live tunnel are asked for where it is; other addresses only when nobody answers there', () => {
  const { network, a, b } = twoHosts(22);
  a.sendFrame(b);
  network.run(100);
  a.knows(b, [{ ip: '2001:db8::2', port: 6783 }, b.endpoint]);
  const begun = network.handshakes.length;
  network.fate = (datagram) => (datagram instanceof Uint8Array ? 'drop' : 'deliver');
  a.tunnels.renew(b.id);
  network.run(9_000);
  const tried = network.handshakes.slice(begun).map(({ to }) => to.ip);
  expect(tried.slice(0, 4)).toEqual(['192.0.2.2', '192.0.2.2', '192.0.2.2', '2001:db8::2']);
});
