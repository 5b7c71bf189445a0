import { mkdir } from 'node:fs/promises'

/** Numbers from 0 to 1, the same in every run (mulberry32). */
export function randomNumbers(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** `length` bytes of words, some of them frequent, most rare: gzip makes it a third, as it does with source code. */
export function text(length: number, seed: number): Uint8Array {
  const random = randomNumbers(seed)
  const letters = 'eeeeeettttaaaooiinnsshrrdlucmfwypvbgkjqxz'
  const words = Array.from({ length: 20_000 }, () => {
    const size = 2 + Math.floor(random() * 9)
    return Array.from({ length: size }, () => letters[Math.floor(random() * letters.length)]).join('')
  }).map((word) => new TextEncoder().encode(`${word} `))
  const bytes = new Uint8Array(length)
  for (let position = 0, line = 0; position < length;) {
    const word = words[Math.floor(random() ** 4 * words.length)] ?? new Uint8Array(1)
    bytes.set(word.subarray(0, length - position), position)
    position += word.length
    if (++line % 11 === 0 && position <= length) bytes[position - 1] = 10
  }
  return bytes
}

/** `length` bytes that nothing compresses. */
export function noise(length: number, seed: number): Uint8Array {
  const random = randomNumbers(seed)
  const words = new Uint32Array(Math.ceil(length / 4))
  for (let index = 0; index < words.length; index++) words[index] = random() * 2 ** 32
  return new Uint8Array(words.buffer, 0, length)
}

/** Writes a file with the directories above it. */
export async function write(path: string, content: string | Uint8Array): Promise<void> {
  await Bun.write(path, content)
}

/** Two COPY and two RUN on the base image. */
export async function smallContext(directory: string, base: string): Promise<void> {
  await write(
    `${directory}/Dockerfile`,
    [
      `FROM ${base}`,
      'COPY a.txt /app/a.txt',
      'RUN echo one > /one',
      'COPY b /app/b',
      'RUN cat /app/a.txt /app/b/* | wc -c > /two',
      'CMD ["cat", "/two"]\n',
    ].join('\n'),
  )
  await write(`${directory}/a.txt`, 'hello\n'.repeat(100))
  for (let index = 0; index < 10; index++) await write(`${directory}/b/f${index}`, `file ${index}\n`.repeat(200))
}

/** Forty RUN steps that do next to nothing. */
export async function stepsContext(directory: string, base: string): Promise<void> {
  const steps = Array.from({ length: 40 }, (_, index) => `RUN echo ${index} > /f${index}\n`)
  await write(`${directory}/Dockerfile`, `FROM ${base}\n${steps.join('')}`)
}

/** Eight stages that each wait for a second and write 20 MB of noise, and one that copies from all of them. */
export async function stagesContext(directory: string, base: string): Promise<void> {
  const numbers = Array.from({ length: 8 }, (_, index) => index)
  const write20 = (index: number): string =>
    `FROM ${base} AS s${index}\nRUN sleep 1 && dd if=/dev/urandom of=/out${index} bs=1M count=20 2>/dev/null\n`
  const copies = numbers.map((index) => `COPY --from=s${index} /out${index} /out${index}\n`)
  await write(`${directory}/Dockerfile`, `${numbers.map(write20).join('')}FROM ${base}\n${copies.join('')}`)
}

/** An application: a RUN that installs 20,000 files of 1 KiB by its package.json, then 200 source files and a build. */
export async function applicationContext(directory: string, base: string): Promise<void> {
  await write(
    `${directory}/Dockerfile`,
    [
      `FROM ${base}`,
      'WORKDIR /app',
      'COPY package.json install.sh ./',
      'RUN sh install.sh',
      'COPY . .',
      'RUN cat src/*.js | wc -c > build.txt',
      'CMD ["cat", "build.txt"]\n',
    ].join('\n'),
  )
  await write(`${directory}/package.json`, '{"name":"app","version":"1.0.0","dependencies":{"a":"1"}}\n')
  await write(
    `${directory}/install.sh`,
    `body='${`${'x'.repeat(63)}\n`.repeat(15)}'
i=0
while [ $i -lt 1000 ]; do
  d=node_modules/p$i/lib; mkdir -p $d; j=0
  while [ $j -lt 20 ]; do echo "$i $j $body" > $d/f$j.js; j=$((j+1)); done
  i=$((i+1))
done
`,
  )
  const random = randomNumbers(3)
  for (let file = 0; file < 200; file++) {
    const lines = Array.from({ length: 150 }, (_, line) => `export const v${file}_${line} = ${random()};\n`)
    await write(`${directory}/src/m${file}.js`, lines.join(''))
  }
  await write(`${directory}/src/index.js`, "console.log('v0')\n")
}

/** 40,000 files of 200 to 9,800 bytes, half of them in a directory that .dockerignore leaves out. */
export async function wideContext(directory: string, base: string, corpus: Uint8Array): Promise<void> {
  const random = randomNumbers(6)
  for (const top of ['src', 'node_modules']) {
    for (let group = 0; group < 200; group++) {
      await mkdir(`${directory}/${top}/d${group}`, { recursive: true })
      for (let file = group * 100; file < (group + 1) * 100; file++) {
        const size = 200 + Math.floor(random() * 9600)
        const offset = Math.floor(random() * (corpus.length - size))
        const head = new TextEncoder().encode(`${top} ${file}\n`)
        await write(
          `${directory}/${top}/d${group}/f${file}.txt`,
          Buffer.concat([head, corpus.subarray(offset, offset + size)]),
        )
      }
    }
  }
  await write(`${directory}/.dockerignore`, 'node_modules\n**/*.log\n')
  await write(`${directory}/Dockerfile`, `FROM ${base}\nCOPY . /ctx\n`)
}

/** 600 MB in three layers: 3,000 files of text, 30 files of noise, 50 small files. */
export async function largeContext(directory: string, corpus: Uint8Array): Promise<void> {
  for (let file = 0; file < 3000; file++)
    await write(
      `${directory}/text/d${Math.floor(file / 100)}/t${file}.txt`,
      corpus.subarray(file * 100_000, (file + 1) * 100_000),
    )
  for (let file = 0; file < 30; file++) await write(`${directory}/noise/r${file}.bin`, noise(10_000_000, file))
  for (let file = 0; file < 50; file++) await write(`${directory}/app/a${file}.txt`, `app ${file}\n`.repeat(100))
  await write(
    `${directory}/Dockerfile`,
    'FROM scratch\nCOPY text /text\nCOPY noise /noise\nCOPY app /app\nCMD ["/none"]\n',
  )
}
