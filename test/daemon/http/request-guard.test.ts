import { describe, expect, test } from 'vitest';
import { type Asked, refusalOf } from '../../../src/daemon/http/request-guard.ts';

const PLAIN: Asked = {
  method: 'GET',
  host: '127.0.0.1:6784',
  origin: undefined,
  site: undefined,
  destination: undefined,
  localAddress: '127.0.0.1',
};

describe('the HTTP port answers', () => {
  test.each<[string, Partial<Asked>]>([
    ['by its address', {}],
    ['without a port', { host: '127.0.0.1' }],
    ['localhost', { host: 'localhost:6784' }],
    ['LOCALHOST', { host: 'LocalHost:6784' }],
    ['behind ssh -L, at another port', { host: 'localhost:8080' }],
    ['IPv6 loopback', { host: '[::1]:6784', localAddress: '::1' }],
    ['an IPv4 client of a dual-stack socket', { localAddress: '::ffff:127.0.0.1' }],
    ['an address of this host that the operator named', { host: '192.0.2.7:6784', localAddress: '192.0.2.7' }],
    ['that address written another way', { host: '[2001:DB8::0:1]:6784', localAddress: '2001:db8::1' }],
    ['its own pages', { origin: 'http://127.0.0.1:6784', site: 'same-origin', destination: 'empty' }],
    ['who types the address', { site: 'none', destination: 'document' }],
    ['who follows a link', { site: 'cross-site', destination: 'document' }],
  ])('%s', (_name, change) => {
    expect(refusalOf({ ...PLAIN, ...change })).toBeNull();
  });
});

describe('the HTTP port refuses', () => {
  test.each<[string, Partial<Asked>, string]>([
    ['POST', { method: 'POST' }, 'method'],
    ['HEAD', { method: 'HEAD' }, 'method'],
    ['OPTIONS, which would ask for CORS', { method: 'OPTIONS', origin: 'http://evil.example' }, 'method'],
    ['no Host', { host: undefined }, 'host'],
    ['an empty Host', { host: '' }, 'host'],
    ['a rebound name', { host: 'evil.example:6784' }, 'host'],
    ['a name that begins like ours', { host: 'localhost.evil.example' }, 'host'],
    ['a name that ends like ours', { host: 'evil.localhost' }, 'host'],
    ['a name that looks like an address', { host: '127.0.0.1.evil.example' }, 'host'],
    ['credentials in front', { host: 'evil@127.0.0.1:6784' }, 'host'],
    ['another address of this host', { host: '192.0.2.7:6784' }, 'host'],
    ['localhost where it is not loopback', { host: 'localhost:6784', localAddress: '192.0.2.7' }, 'host'],
    ['loopback where it is not loopback', { host: '127.0.0.1:6784', localAddress: '192.0.2.7' }, 'host'],
    ['a page of another origin', { origin: 'http://evil.example' }, 'origin'],
    ['a page of another port', { origin: 'http://127.0.0.1:8080' }, 'origin'],
    ['a page by TLS', { origin: 'https://127.0.0.1:6784' }, 'origin'],
    ['a sandboxed page', { origin: 'null' }, 'origin'],
    ['a script element of another site', { site: 'cross-site', destination: 'script' }, 'site'],
    ['an image of another port', { site: 'same-site', destination: 'image' }, 'site'],
    ['a frame of another site', { site: 'cross-site', destination: 'iframe' }, 'site'],
  ])('%s', (_name, change, reason) => {
    expect(refusalOf({ ...PLAIN, ...change })?.reason).toBe(reason);
  });
});
