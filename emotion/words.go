package emotion

import "strings"

// functionWords are words that carry grammar rather than matter. How often
// somebody uses them is a mark of style that has little to do with topic or
// mood.
const functionWords = `
a about above across after again against all along although am among an and
another any are around as at be because been before behind being below beneath
beside between beyond both but by can cannot could did do does doing done down
during each either enough ever every few for from further had has have having
he her here hers herself him himself his how however i if in inside into is it
its itself just least less like many may me might mine more most much must my
myself near neither never no nor not of off on once one only onto or other our
ours ourselves out outside over own past per quite rather same shall she should
since so some still such than that the their theirs them themselves then there
therefore these they this those though through throughout till to too toward
towards under unless until up upon us very was we were what when where whereas
whether which while who whom whose why will with within without would yet you
your yours yourself yourselves
`

// FunctionWords returns English function words: articles, pronouns,
// prepositions, conjunctions, auxiliaries and the commonest adverbs of degree,
// in lower case and alphabetical order. Baselines that classify texts by style
// alone count them.
func FunctionWords() []string { return strings.Fields(functionWords) }
