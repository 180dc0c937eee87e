module github.com/limbic-go/limbic

go 1.26
