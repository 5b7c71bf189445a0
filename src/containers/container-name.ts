import { CairnError } from '../errors/error.ts'

const adjectives =
  `amused ardent artful bashful beaming blissful bold brave breezy bright brisk calm candid careful charming cheerful
  clever composed cordial cosy crafty curious dapper daring dazzling deft dreamy eager earnest elated elegant epic
  faithful fearless festive fond frosty funny gallant gentle gifted glad graceful grand happy hardy hearty honest
  hopeful humble inspired jolly jovial joyful keen kind laughing lively loving lucid lucky mellow merry mindful modest
  nimble noble optimistic patient peaceful pensive playful plucky polite proud quick quiet quirky relaxed romantic
  serene sharp silly sincere sleepy spirited steady stoic sunny sweet tender thoughtful trusting upbeat vibrant
  vigilant vigorous wise witty wizardly wonderful zealous zen`.split(/\s+/)

/** Surnames of people to whom computing, mathematics, engineering or science owe something. */
const surnames =
  `agnesi albattani allen archimedes aryabhata babbage banach banzai bardeen bartik bell bhabha blackwell bohr boyd
  brahmagupta brattain brown burnell carson cartwright cerf chandrasekhar chatelet clarke colden cori cray curie darwin
  davinci diffie dijkstra dirac driscoll easley edison einstein elion engelbart euclid euler faraday fermat fermi
  feynman franklin galileo galois ganguly gates gauss germain goldberg goldwasser goodall hamilton haslett hawking
  heisenberg hellman hermann herschel hertz heyrovsky hodgkin hoover hopper hypatia jackson jang jemison jennings johnson
  joliot kalam kapitsa kare keldysh keller kepler khayyam khorana kilby kirch knuth kowalevski lamarr lamport leakey
  leavitt lehmann lewin lichterman liskov lovelace lumiere mahavira margulis matsumoto maxwell mayer mccarthy
  mcclintock mclean meitner mendel mendeleev merkle mestorf mirzakhani montalcini moore morse moser napier nash
  neumann newton nightingale nobel noether noyce panini pare pascal pasteur payne perlman pike poincare poitras
  proskuriakova ptolemy raman ramanujan rhodes ride ritchie robinson roentgen rosalind rubin saha sammet sanderson
  satoshi shamir shannon shaw shirley shockley shtern sinoussi snyder solomon spence stonebraker sutherland swanson
  swartz tereshkova tesla tharp thompson torvalds tu turing varahamihira vaughan villani visvesvaraya volhard wescoff
  wilbur wiles williams williamson wilson wing wozniak wright wu yalow yonath zhukovsky`.split(/\s+/)

/**
 * A name for a container whose user gave none, like docker's: `keen_hopper`, with a number behind it where the first
 * tries were taken.
 *
 * @param isTaken - whether a container has the name
 */
export function generateName(isTaken: (name: string) => boolean): string {
  for (let attempt = 0; ; attempt++) {
    const number = attempt < 5 ? '' : String(randomBelow(10 ** Math.ceil(attempt / 5)))
    const name = `${pick(adjectives)}_${pick(surnames)}${number}`
    if (!isTaken(name)) return name
  }
}

function pick(words: readonly string[]): string {
  return words[randomBelow(words.length)] as string
}

function randomBelow(limit: number): number {
  return Math.floor(Math.random() * limit)
}

/** A name as the user gave it, without the slash that docker's API puts before names. Throws USAGE in docker's words. */
export function parseContainerName(text: string): string {
  const name = text.replace(/^\//, '')
  if (!/^[a-zA-Z0-9][a-zA-Z0-9_.-]+$/.test(name))
    throw new CairnError('USAGE', `Invalid container name (${text}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed`)
  return name
}
