// HTTP by busybox nc, on hosts, in containers and in images alike: the resolver of a static busybox, which its wget calls,
// needs libraries that an image of busybox alone has not.

/** A command whose output is the whole answer, head and body. */
export function httpGet(address: string, port = 80, path = '/', headers: readonly string[] = []): readonly string[] {
  const lines = [`GET ${path} HTTP/1.0`, ...headers, '', ''];
  return ['sh', '-c', 'printf "$1" | busybox nc -w 2 "$2" "$3"', 'get', lines.join('\\r\\n'), address, String(port)];
}
