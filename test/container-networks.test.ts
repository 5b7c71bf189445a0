import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { lingerTime } from '../src/networks/lingering.ts'
import { NetworkCairn } from './fixtures/cli/network-cairn.ts'
import { eventually, processesWith } from './fixtures/container-bench.ts'

// A machine that is busy otherwise is no reason to fail.
setDefaultTimeout(120_000)

let cairn: NetworkCairn

beforeAll(async () => {
  cairn = new NetworkCairn()
  await cairn.image('busybox')
})

afterEach(async () => {
  const { out } = await cairn.run(['ps', '-aq'])
  if (out !== '') await cairn.run(['rm', '-f', ...out.trim().split('\n')])
  await cairn.run(['network', 'prune', '-f'])
})

afterAll(() => {
  cairn[Symbol.dispose]()
})

/** Starts a web server in the background whose page is `page`. */
async function serve(name: string, page: string, ...flags: string[]): Promise<string> {
  const script = `mkdir -p /www; echo ${page} > /www/index.html; exec httpd -f -p 80 -h /www`
  const id = (await cairn.ok(['run', '-d', '--name', name, ...flags, 'busybox', 'sh', '-c', script])).trim()
  expect(
    await eventually(() => cairn.sh(`nsenter -t ${pidOf(id)} -n busybox wget -qO- http://127.0.0.1/`).includes(page)),
  ).toBe(true)
  return id
}

function pidOf(id: string): string {
  return cairn.sh(`cat ${cairn.root}/containers/${id}/init.pid`).trim()
}

/** A page as the machine gets it. */
function page(address: string): string {
  return cairn.sh(`timeout 5 busybox wget -qO- http://${address}/`).trim()
}

/** A page as the container `name` gets it. */
async function pageIn(name: string, address: string): Promise<string> {
  const { out } = await cairn.run(['exec', name, 'timeout', '2', 'wget', '-qO-', `http://${address}/`])
  return out.trim()
}

async function inspected(name: string, format: string): Promise<string> {
  return (await cairn.ok(['inspect', '-f', format, name])).trim()
}

describe('published ports', () => {
  test('lead to the container from 127.0.0.1, from IPv6 and from other machines, and go with it', async () => {
    cairn.sh('ip link add uplink type bridge; ip address add 10.50.0.1/24 dev uplink; ip link set uplink up')
    try {
      await serve('web', 'hello', '-p', '8080:80', '-p', '127.0.0.1:8081:80')
      expect(page('127.0.0.1:8080')).toBe('hello')
      expect(page('[::1]:8080')).toBe('hello')
      expect(page('10.50.0.1:8080')).toBe('hello')
      expect(page('127.0.0.1:8081')).toBe('hello')
      expect(page('10.50.0.1:8081')).not.toContain('hello')
      expect(await pageIn('web', '10.50.0.1:8080')).toBe('hello')
      expect(await cairn.ok(['ps', '--format', '{{.Ports}}'])).toBe(
        '0.0.0.0:8080->80/tcp, [::]:8080->80/tcp, 127.0.0.1:8081->80/tcp\n',
      )
      expect(await cairn.ok(['port', 'web', '80'])).toBe('0.0.0.0:8080\n[::]:8080\n127.0.0.1:8081\n')
      await cairn.ok(['rm', '-f', 'web'])
      expect(page('127.0.0.1:8080')).toContain('refused')
      expect(await eventually(() => cairn.traces().join() === 'uplink')).toBe(true)
    } finally {
      cairn.sh('ip link delete uplink')
    }
  })

  test('of UDP carry datagrams both ways', async () => {
    cairn.sh('ip link add uplink type bridge; ip address add 10.50.0.1/24 dev uplink; ip link set uplink up')
    const id = (await cairn.ok(['run', '-d', '-p', '5300:53/udp', 'busybox', 'sleep', '1000'])).trim()
    const server = "Bun.udpSocket({ port: 53, socket: { data: (s, b, p, a) => s.send('pong ' + b, p, a) } })"
    const echo = cairn.spawn(['nsenter', '-t', pidOf(id), '-n', process.execPath, '-e', server])
    const said = (address: string): string => {
      const client = `const s = await Bun.udpSocket({ hostname: '${address.includes(':') ? '::' : '0.0.0.0'}',
        socket: { data: (_, b) => { console.log(b.toString()); process.exit(0) } } })
        s.send('ping', 5300, '${address}'); setTimeout(() => process.exit(1), 1000)`
      return cairn.sh(`${process.execPath} -e "${client}"`).trim()
    }
    try {
      expect(await eventually(() => said('127.0.0.1') === 'pong ping')).toBe(true)
      expect(said('::1')).toBe('pong ping')
      expect(said('10.50.0.1')).toBe('pong ping')
    } finally {
      echo.kill('SIGKILL')
      await echo.exited
      cairn.sh('ip link delete uplink')
    }
  })

  test('that are taken are refused, with the name of who has them', async () => {
    await serve('first', 'first', '-p', '8080:80')
    const second = await cairn.run(['run', '-d', '--name', 'second', '-p', '8080:80', 'busybox', 'sleep', '100'])
    expect(second.status).toBe(125)
    expect(second.err).toContain('Bind for 0.0.0.0:8080 failed: port is already allocated')
    expect(second.err).toContain('The container first has it.')
    const listener = cairn.spawn(['busybox', 'nc', '-ll', '-p', '8090', '-e', 'cat'])
    try {
      expect(await eventually(() => cairn.sh('cat /proc/net/tcp /proc/net/tcp6').includes(':1F9A'))).toBe(true)
      const third = await cairn.run(['run', '--rm', '-p', '8090:80', 'busybox', 'true'])
      expect(third.status).toBe(125)
      expect(third.err).toContain('failed to bind host port for 0.0.0.0:8090/tcp: address already in use')
      expect(third.err).toContain(`(process ${listener.pid}) listens there.`)
      expect(await cairn.run(['run', '--rm', '-p', '8090-8091:80', 'busybox', 'true'])).toMatchObject({ status: 0 })
      const elsewhere = await cairn.run(['run', '--rm', '-p', '9.9.9.9:8099:80', 'busybox', 'true'])
      expect(elsewhere.status).toBe(125)
      expect(elsewhere.err).toContain('host port for 9.9.9.9:8099/tcp: cannot assign requested address')
    } finally {
      listener.kill('SIGKILL')
      await listener.exited
    }
  })

  test('are chosen where none is named, and by -P for what is exposed', async () => {
    await cairn.ok([
      'run',
      '-d',
      '--name',
      'any',
      '-p',
      '80',
      '-P',
      '--expose',
      '81',
      '--expose',
      '82/udp',
      'busybox',
      'sleep',
      '100',
    ])
    const lines = (await cairn.ok(['port', 'any'])).trim().split('\n')
    expect(lines.map((line) => line.replace(/\d+$/, 'N'))).toEqual([
      '80/tcp -> 0.0.0.0:N',
      '80/tcp -> [::]:N',
      '81/tcp -> 0.0.0.0:N',
      '81/tcp -> [::]:N',
      '82/udp -> 0.0.0.0:N',
      '82/udp -> [::]:N',
    ])
  })
})

test('a container knows itself by its whole name and the first part of that', async () => {
  const named = async (...flags: string[]) =>
    (await cairn.ok(['run', '--rm', ...flags, 'busybox', 'tail', '-n1', '/etc/hosts'])).trim().split(/\s+/).slice(1)
  expect(await named('-h', 'web.shop', '--domainname', 'example.org')).toEqual(['web.shop.example.org', 'web'])
  expect(await named('-h', 'web.shop')).toEqual(['web.shop', 'web'])
  expect(await named('-h', 'web')).toEqual(['web'])
})

test('a container that does not run has no network for another one', async () => {
  await cairn.ok(['create', '--name', 'idle', 'busybox'])
  expect(await cairn.run(['run', '--rm', '--network', 'container:idle', 'busybox', 'true'])).toMatchObject({
    status: 125,
    err: 'cairn: cannot join network namespace of a non running container: container idle is created\n',
  })
})

describe('a network of the user', () => {
  test('has containers find each other by name, alias and ID, also after a restart, and keeps others out', async () => {
    await cairn.ok(['network', 'create', 'shop'])
    const id = await serve('api', 'api', '--network', 'shop', '--network-alias', 'backend')
    await cairn.ok(['run', '-d', '--name', 'client', '--network', 'shop', 'busybox', 'sleep', '1000'])
    await cairn.ok(['run', '-d', '--name', 'stranger', 'busybox', 'sleep', '1000'])
    for (const name of ['api', 'backend', id.slice(0, 12)]) expect(await pageIn('client', name)).toBe('api')
    const address = await inspected('api', '{{.NetworkSettings.Networks.shop.IPAddress}}')
    expect(await pageIn('client', address)).toBe('api')
    expect(await pageIn('stranger', address)).toBe('')
    expect(await pageIn('stranger', 'api')).toBe('')
    await cairn.ok(['restart', '-t', '0', 'api'])
    expect(
      await eventually(() =>
        cairn.sh(`nsenter -t ${pidOf(id)} -n busybox wget -qO- http://127.0.0.1/`).includes('api'),
      ),
    ).toBe(true)
    expect(await pageIn('client', 'api')).toBe('api')
    const removal = await cairn.run(['network', 'rm', 'shop'])
    expect(removal).toMatchObject({ status: 1 })
    expect(removal.err).toContain('network shop has active endpoints')
  })

  test('takes containers that run, and lets them go', async () => {
    await cairn.ok(['network', 'create', '--subnet', '10.61.0.0/24', '--ipv6', 'one'])
    await cairn.ok(['network', 'create', '--subnet', '10.62.0.0/24', '--gateway', '10.62.0.9', 'two'])
    await serve('api', 'api', '--network', 'one')
    await cairn.ok([
      'run',
      '-d',
      '--name',
      'client',
      '--network',
      'two',
      '--ip',
      '10.62.0.77',
      'busybox',
      'sleep',
      '1000',
    ])
    expect(await inspected('client', '{{.NetworkSettings.Networks.two.IPAddress}}')).toBe('10.62.0.77')
    expect(await pageIn('client', 'api')).toBe('')
    await cairn.ok(['network', 'connect', '--alias', 'shop', 'two', 'api'])
    expect(await pageIn('client', 'shop')).toBe('api')
    await cairn.ok(['network', 'disconnect', 'one', 'api'])
    expect(await cairn.ok(['exec', 'api', 'ip', 'route'])).toContain('default via 10.62.0.9 dev eth1')
    expect(await pageIn('client', 'api')).toBe('api')
    const again = await cairn.run(['network', 'disconnect', 'one', 'api'])
    expect(again.err).toContain('is not connected to network one')
  })

  test('gets a subnet that neither the machine nor another network uses', async () => {
    cairn.sh('ip link add docker0 type bridge; ip address add 172.17.0.1/16 dev docker0; ip link set docker0 up')
    cairn.sh('ip route add 172.18.3.0/24 dev docker0')
    try {
      await cairn.ok(['network', 'create', 'clear'])
      expect(await cairn.ok(['network', 'inspect', '-f', '{{(index .IPAM.Config 0).Subnet}}', 'clear'])).toBe(
        '172.19.0.0/16\n',
      )
      const overlapping = await cairn.run(['network', 'create', '--subnet', '172.17.9.0/24', 'taken'])
      expect(overlapping.err).toContain('Pool overlaps with other one on this address space')
      // It was chosen before the machine took to using it.
      cairn.sh('ip route add 172.19.3.0/24 dev docker0')
      await cairn.ok(['run', '-d', '--name', 'late', '--network', 'clear', 'busybox', 'sleep', '100'])
      expect(await inspected('late', '{{.NetworkSettings.Networks.clear.IPAddress}}')).toBe('172.20.0.2')
    } finally {
      cairn.sh('ip link delete docker0')
    }
  })

  test('gets another subnet and bridge than those that other stores start with at the same moment', async () => {
    await cairn.ok(['save', '-o', `${cairn.directory}/busybox.tar`, 'busybox'])
    const stores = [1, 2, 3, 4].map((number) => ({ env: { CAIRN_ROOT: `${cairn.root}-${number}` } }))
    try {
      for (const store of stores) await cairn.ok(['load', '-q', '-i', `${cairn.directory}/busybox.tar`], store)
      for (let round = 0; round < 2; round++) {
        const run = ['run', '-d', '--name', 'one', 'busybox', 'sleep', '1000']
        await Promise.all(stores.map((store) => cairn.ok(run, store)))
        const subnets = await Promise.all(
          stores.map((store) =>
            cairn.ok(['network', 'inspect', '-f', '{{(index .IPAM.Config 0).Subnet}}', 'bridge'], store),
          ),
        )
        expect(new Set(subnets).size).toBe(stores.length)
        await Promise.all(stores.map((store) => cairn.ok(['rm', '-f', 'one'], store)))
      }
    } finally {
      for (const store of stores) await cairn.run(['rm', '-f', 'one'], store)
    }
    expect(cairn.sh('ip -o link show type bridge')).toBe('')
  })

  test('asks the servers of --dns for names of the world', async () => {
    cairn.sh('ip link add uplink type bridge; ip address add 10.50.0.1/24 dev uplink; ip link set uplink up')
    // Whatever is asked for is at 10.9.8.7.
    const script = `await Bun.udpSocket({ hostname: '10.50.0.1', port: 53, socket: { data: (s, q, p, a) => {
      const end = q.indexOf(0, 12) + 5
      const isA = q[end - 3] === 1
      const head = Buffer.concat([q.subarray(0, 2), Buffer.from([129, 128, 0, 1, 0, isA ? 1 : 0, 0, 0, 0, 0]), q.subarray(12, end)])
      s.send(isA ? Buffer.concat([head, Buffer.from([192, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 9, 8, 7])]) : head, p, a)
    } } })`
    const server = cairn.spawn([process.execPath, '-e', script])
    try {
      expect(await eventually(() => cairn.sh('cat /proc/net/udp').includes('0100320A:0035'))).toBe(true)
      await cairn.ok(['network', 'create', 'shop'])
      const flags = ['--network', 'shop', '--dns', '10.50.0.1']
      await cairn.ok(['run', '-d', '--name', 'asking', ...flags, 'busybox', 'sleep', '100'])
      expect(await cairn.ok(['exec', 'asking', 'nslookup', 'world.example'])).toContain('10.9.8.7')
      expect(await cairn.ok(['exec', 'asking', 'nslookup', 'asking'])).not.toContain('10.9.8.7')
    } finally {
      server.kill('SIGKILL')
      await server.exited
      cairn.sh('ip link delete uplink')
    }
  })

  test('that is internal leads nowhere else', async () => {
    await cairn.ok(['network', 'create', '--internal', 'back'])
    await serve('db', 'db', '--network', 'back')
    expect(await cairn.ok(['exec', 'db', 'ip', 'route'])).not.toContain('default')
    expect(await cairn.ok(['run', '--rm', '--network', 'back', 'busybox', 'wget', '-qO-', 'http://db/'])).toBe('db\n')
  })
})

/** Milliseconds within which a network that lingers has to be gone, on a machine that is busy. */
const afterLingering = 4 * lingerTime
/** The same for what goes at once. */
const patience = 20_000

describe('links', () => {
  test('of the default network give other names and tell of ports, also after the other has been started again', async () => {
    await serve('web', 'hello', '-e', 'SECRET=1', '--expose', '80')
    await cairn.ok(['run', '-d', '--name', 'client', '--link', 'web:shop', 'busybox', 'sleep', '1000'])
    expect(await pageIn('client', 'shop')).toBe('hello')
    const address = await inspected('web', '{{.NetworkSettings.IPAddress}}')
    expect(await cairn.ok(['exec', 'client', 'sh', '-c', 'env | grep ^SHOP_ | sort'])).toBe(
      ['ENV_SECRET=1', 'NAME=/client/shop', `PORT=tcp://${address}:80`]
        .concat(
          ['', '_ADDR', '_PORT', '_PROTO'].map(
            (what, index) => `PORT_80_TCP${what}=${[`tcp://${address}:80`, address, 80, 'tcp'][index]}`,
          ),
        )
        .map((line) => `SHOP_${line}\n`)
        .join(''),
    )
    expect(await inspected('client', '{{json .HostConfig.Links}}')).toBe('["/web:/client/shop"]')
    await cairn.ok(['stop', '-t', '0', 'web'])
    await cairn.ok(['run', '-d', '--name', 'taker', '--network', 'bridge', 'busybox', 'sleep', '1000'])
    await cairn.ok(['rename', 'web', 'renamed'])
    await cairn.ok(['start', 'renamed'])
    expect(await inspected('renamed', '{{.NetworkSettings.IPAddress}}')).not.toBe(address)
    expect(await pageIn('client', 'shop')).toBe('hello')
    await cairn.ok(['stop', '-t', '0', 'renamed', 'client'])
    const { err } = await cairn.run(['start', 'client'])
    expect(err).toContain('Cannot link to a non running container: /web AS /client/shop')
    await cairn.ok(['rm', '--link', 'client/shop'])
    await cairn.ok(['start', 'client'])
    expect(await inspected('client', '{{json .HostConfig.Links}}')).toBe('null')
  })

  test('of another network give other names to those that run, and none leads out of the networks', async () => {
    await cairn.ok(['network', 'create', 'own'])
    await serve('web', 'hello', '--network', 'own')
    await cairn.ok([
      'run',
      '-d',
      '--name',
      'client',
      '--network',
      'own',
      '--link',
      'web:shop',
      'busybox',
      'sleep',
      '1000',
    ])
    expect(await pageIn('client', 'shop')).toBe('hello')
    expect(await inspected('client', '{{json .NetworkSettings.Networks.own.Links}}')).toBe('["web:shop"]')
    for (const [flags, message] of [
      [['--link', 'web:shop'], 'not attached to default bridge network'],
      [['--link', 'nothing'], 'could not get container for nothing: No such container: nothing'],
      [['--link', 'a:b:c'], 'bad format for links: a:b:c'],
      [['--network', 'host', '--link', 'web'], "host type networking can't be used with links"],
    ] as const)
      expect((await cairn.run(['run', '--rm', ...flags, 'busybox', 'true'])).err).toContain(message)
  })
})

describe('what is left', () => {
  test('after whatever was killed is nothing, and what still runs is reached', async () => {
    await cairn.ok(['network', 'create', 'shop'])
    const api = await serve('api', 'api', '--network', 'shop', '-p', '8080:80')
    const other = await serve('other', 'other', '--network', 'shop', '-p', '8081:80')
    for (const pid of [...processesWith('aardvark-dns'), ...processesWith('forward')].filter((one) =>
      cairn.attendants().includes(one),
    ))
      process.kill(pid, 'SIGKILL')
    expect(await eventually(() => page('127.0.0.1:8080').includes('refused'))).toBe(true)
    await cairn.ok(['ps'])
    expect(await eventually(() => page('127.0.0.1:8080') === 'api')).toBe(true)
    expect(await pageIn('other', 'api')).toBe('api')
    process.kill(Number(cairn.sh(`cat ${cairn.root}/containers/${other}/monitor.pid`)), 'SIGKILL')
    expect(await cairn.ok(['ps', '--format', '{{.Names}} {{.Ports}}'])).toBe(
      'api 0.0.0.0:8080->80/tcp, [::]:8080->80/tcp\n',
    )
    expect(cairn.sh('nft list ruleset')).not.toContain('8081')
    process.kill(Number(pidOf(api)), 'SIGKILL')
    expect(await eventually(() => cairn.traces().length === 0)).toBe(true)
  })

  test('of the default network after a foreground container is there for the next one, and is soon nothing', async () => {
    const rules = () => cairn.sh('nft -a list ruleset')
    await cairn.ok(['run', '--rm', 'busybox', 'true'])
    const lingering = rules()
    expect(cairn.traces().join()).toMatch(/^cairn0,table inet cairn_[0-9a-f]{8},process \d+$/)
    const gateway = await cairn.ok(['run', '--rm', 'busybox', 'ip', 'route'])
    expect(gateway).toContain('default via')
    expect(rules()).toBe(lingering)
    expect(await eventually(() => cairn.traces().length === 0, afterLingering)).toBe(true)
    expect(await cairn.ok(['run', '--rm', 'busybox', 'ip', 'route'])).toBe(gateway)
    await cairn.ok(['network', 'prune', '-f'])
    expect(await eventually(() => cairn.traces().every((trace) => trace.startsWith('process')))).toBe(true)
  })

  test('of the default network is nothing as soon as a container is removed, or published a port', async () => {
    await cairn.ok(['run', '--name', 'first', 'busybox', 'true'])
    await cairn.ok(['rm', 'first'])
    expect(cairn.traces().filter((trace) => !trace.startsWith('process'))).toEqual([])
    expect(await eventually(() => cairn.traces().length === 0, afterLingering)).toBe(true)
    await cairn.ok(['run', '--rm', '-p', '8080:80', 'busybox', 'true'])
    expect(cairn.traces()).toEqual([])
  })

  test('of the default network is nothing also when the store is deleted meanwhile, or its watcher is killed', async () => {
    await cairn.ok(['run', '--rm', 'busybox', 'true'])
    for (const pid of cairn.attendants()) process.kill(pid, 'SIGKILL')
    expect(await eventually(() => cairn.traces().length === 2)).toBe(true)
    await Bun.sleep(lingerTime)
    await cairn.ok(['ps'])
    expect(cairn.traces()).toEqual([])
    const other = `${cairn.root}-other`
    try {
      await cairn.ok(['save', '-o', `${cairn.directory}/busybox.tar`, 'busybox'])
      await cairn.ok(['--root', other, 'load', '-i', `${cairn.directory}/busybox.tar`])
      await cairn.ok(['--root', other, 'run', '--rm', 'busybox', 'true'])
    } finally {
      cairn.sh(`rm -rf ${other}`)
    }
    expect(cairn.traces()).toHaveLength(3)
    expect(await eventually(() => cairn.traces().length === 0, afterLingering)).toBe(true)
  })

  test('of ports that many commands see to at once is nothing', async () => {
    await serve('api', 'api', '-p', '8080:80')
    const forwarders = (): number[] =>
      processesWith('container\0forward').filter((pid) => cairn.attendants().includes(pid))
    for (let round = 0; round < 3; round++) {
      for (const pid of forwarders()) process.kill(pid, 'SIGKILL')
      await Promise.all(Array.from({ length: 6 }, () => cairn.ok(['ps'])))
      expect(await eventually(() => page('127.0.0.1:8080') === 'api')).toBe(true)
      expect(await eventually(() => forwarders().length === 1)).toBe(true)
    }
    await cairn.ok(['rm', '-f', 'api'])
    expect(await eventually(() => cairn.traces().length === 0)).toBe(true)
  })

  test('of a published port when its container is taken from a network, and that is killed, is the port', async () => {
    for (const name of ['shop', 'yard']) await cairn.ok(['network', 'create', name])
    await serve('api', 'api', '--network', 'shop', '--network', 'yard', '-p', '8080:80')
    const first = () => inspected('api', '{{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}')
    for (const delay of [80, 110, 140, 170, 200, 230, 260, 300]) {
      const names = new Set((await first()).split(' '))
      const missing = ['shop', 'yard'].filter((name) => !names.has(name))
      for (const name of missing) await cairn.ok(['network', 'connect', name, 'api'])
      const child = cairn.start(['network', 'disconnect', missing[0] === 'shop' ? 'yard' : 'shop', 'api'])
      await Bun.sleep(delay)
      child.kill('SIGKILL')
      await child.exited
      await cairn.ok(['ps'])
      expect(await eventually(() => page('127.0.0.1:8080') === 'api')).toBe(true)
      const addresses = await inspected('api', '{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}')
      const [, target = 'none'] = /dnat ip to ([0-9.]+):80/.exec(cairn.sh('nft list ruleset')) ?? []
      expect(addresses.split(' ')).toContain(target)
    }
  })

  test('of a network that a container was just given, by a command that was killed, is its device and names', async () => {
    for (const name of ['shop', 'yard']) await cairn.ok(['network', 'create', name])
    const id = await serve('api', 'api', '--network', 'shop')
    await serve('peer', 'peer', '--network', 'yard')
    await cairn.ok(['network', 'connect', 'yard', 'api'])
    // What is there when the process is killed as soon as it has written down what it does.
    const network = (await cairn.ok(['network', 'inspect', '-f', '{{.Id}}', 'yard'])).trim()
    const directory = `${cairn.root}/containers`
    cairn.sh(`nsenter -t ${pidOf(id)} -n ip link delete eth1; : > ${directory}/${id}/resolv.conf`)
    cairn.sh(`mkdir -p ${directory}/run/networks; printf ${network} > ${directory}/run/networks/${id}`)
    await cairn.ok(['ps'])
    expect(await pageIn('api', 'peer')).toBe('peer')
    const address = await inspected('api', '{{.NetworkSettings.Networks.yard.IPAddress}}')
    expect(await cairn.ok(['exec', 'api', 'ip', 'address', 'show', 'eth1'])).toContain(`inet ${address}/`)
    expect(cairn.sh(`ls ${directory}/run/networks`)).toBe('')
  })

  test('of starts that are killed at any moment is nothing', async () => {
    await cairn.ok(['network', 'create', 'shop'])
    for (const delay of [60, 90, 120, 150, 180, 210, 240]) {
      const child = cairn.start(['run', '-d', '--network', 'shop', '-p', '8085:80', 'busybox', 'sleep', '1000'])
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      await Bun.sleep(delay)
      child.kill('SIGKILL')
      // oxlint-disable-next-line no-await-in-loop
      await child.exited
      // oxlint-disable-next-line no-await-in-loop
      const left = (await cairn.ok(['ps', '-aq'])).trim()
      // oxlint-disable-next-line no-await-in-loop
      if (left !== '') await cairn.ok(['rm', '-f', ...left.split('\n')])
      // oxlint-disable-next-line no-await-in-loop
      await eventually(() => cairn.traces().length === 0, patience)
      expect(cairn.traces()).toEqual([])
    }
  })
})
