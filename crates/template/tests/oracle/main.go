// The oracle: Go's own text/template with docker's functions, written from their description.
//
// It reads a request a line from standard input and writes an answer a line.
package main

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"strings"
	"text/template"
)

// Request names a template and the data it runs over: "any" (the JSON document in the first argument), "typed" or "row".
type Request struct {
	Template string `json:"template"`
	Data     string `json:"data"`
	Strict   bool   `json:"strict"`
	Header   bool   `json:"header"`
}

// Answer is the output in hexadecimal and Go's message.
type Answer struct {
	Output string `json:"output"`
	Error  string `json:"error"`
}

// Inner is pointed to.
type Inner struct {
	Env    []string
	Labels map[string]string
	User   string
	Ports  map[string]struct{}
}

// Outer is what "typed" is.
type Outer struct {
	ID     string `json:"Id"`
	Tags   []string
	Config *Inner
	Absent *Inner
	Size   int64
	Score  float64
	On     bool
	Note   string `json:",omitempty"`
}

// Row is what "row" is: everything is a method.
type Row struct{}

func (*Row) ID() string   { return "abc123" }
func (*Row) Name() string { return "al<p>ine" }
func (*Row) Size() string { return "7.8MB" }

// MarshalJSON sorts the names, as docker does.
func (row *Row) MarshalJSON() ([]byte, error) {
	return json.Marshal(map[string]any{"ID": row.ID(), "Name": row.Name(), "Size": row.Size()})
}

func encode(value any) string {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(value)
	return strings.TrimSpace(text.String())
}

var functions = template.FuncMap{
	"json":  encode,
	"split": strings.Split,
	"join":  strings.Join,
	"title": strings.Title,
	"lower": strings.ToLower,
	"upper": strings.ToUpper,
	"pad": func(text string, before, behind int) string {
		if len(text) == 0 {
			return ""
		}
		left, right := strings.Repeat(" ", before), strings.Repeat(" ", behind)
		return left + text + right
	},
	"truncate": func(text string, length int) string {
		if length > len(text) {
			return text
		}
		return text[:length]
	},
}

func same(text string) string                { return text }
func sameOfTwo(text string, _ string) string { return text }
func sameAndInt(text string, _ int) string   { return text }

var headerFunctions = template.FuncMap{
	"json": same, "title": same, "lower": same, "upper": same,
	"split": sameOfTwo, "join": sameOfTwo, "truncate": sameAndInt,
}

// clip leaves slices no room behind their end, so that what can be sliced does not depend on the decoder.
func clip(value any) any {
	switch value := value.(type) {
	case []any:
		clipped := make([]any, len(value))
		for index := range value {
			clipped[index] = clip(value[index])
		}
		return clipped[:len(value):len(value)]
	case map[string]any:
		for key := range value {
			value[key] = clip(value[key])
		}
	}
	return value
}

func data(name string) any {
	switch name {
	case "typed":
		inner := &Inner{
			Env:    []string{"A=1", "B=2"},
			Labels: map[string]string{"b": "<x>", "a": "y"},
			Ports:  map[string]struct{}{"80/tcp": {}},
		}
		return Outer{ID: "sha256:1", Tags: []string{"a:1", "b:2"}, Config: inner, Size: 42, Score: 2.5, On: true}
	case "row":
		return &Row{}
	case "header":
		return map[string]string{"ID": "IMAGE ID", "Name": "NAME", "Size": "SIZE"}
	}
	decoder := json.NewDecoder(strings.NewReader(os.Args[1]))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		panic(err)
	}
	return clip(value)
}

func answer(request Request) (answer Answer) {
	parsed, err := template.New("").Funcs(functions).Parse(request.Template)
	if err != nil {
		return Answer{Error: err.Error()}
	}
	if request.Strict {
		parsed = parsed.Option("missingkey=error")
	}
	if request.Header {
		parsed = parsed.Funcs(headerFunctions)
	}
	var output bytes.Buffer
	if err := parsed.Execute(&output, data(request.Data)); err != nil {
		answer.Error = err.Error()
	}
	answer.Output = hex.EncodeToString(output.Bytes())
	return answer
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<24)
	writer := json.NewEncoder(os.Stdout)
	writer.SetEscapeHTML(false)
	for lines.Scan() {
		var request Request
		if err := json.Unmarshal(lines.Bytes(), &request); err != nil {
			panic(err)
		}
		if err := writer.Encode(answer(request)); err != nil {
			panic(err)
		}
	}
}
