import { expect, test } from 'vitest';
import { checkHttpFlag, type HttpSetting } from '../../../src/daemon/http/http-options.ts';

test.each<[string, HttpSetting]>([
  ['off', 'off'],
  ['127.0.0.1:9000', { ip: '127.0.0.1', port: 9000 }],
  ['127.0.0.1', { ip: '127.0.0.1', port: 6784 }],
  ['localhost:9000', { ip: '127.0.0.1', port: 9000 }],
  ['[::1]:9000', { ip: '::1', port: 9000 }],
  ['192.0.2.7:6784', { ip: '192.0.2.7', port: 6784 }],
])('--http %s', (text, setting) => {
  expect(checkHttpFlag(text)).toEqual(setting);
});

test.each(['', 'x', 'on', ':6784', 'example.org:6784', '127.0.0.1:0', '127.0.0.1:70000', '0.0.0.0', '[::]:6784'])(
  '--http %s is refused',
  (text) => {
    expect(() => checkHttpFlag(text)).toThrowError(expect.objectContaining({ code: 'usage' }));
  },
);
