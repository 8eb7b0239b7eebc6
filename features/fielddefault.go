package features

import (
	"errors"
	"fmt"
	"math"
	"strconv"

	"nearline/pipeline"
)

// MissingDefault is how a configuration writes that a key has no value rather than some number. It stands as NaN in FieldConfig.Default.
const MissingDefault = "missing"

// fieldDefault is FieldConfig.Default as it is written.
type fieldDefault float64

// UnmarshalText reads a number, or missing.
func (d *fieldDefault) UnmarshalText(text []byte) error {
	if string(text) == MissingDefault {
		*d = fieldDefault(math.NaN())
		return nil
	}
	number, err := strconv.ParseFloat(string(text), 64)
	if err != nil || !pipeline.Finite(number) {
		return errors.New(strconv.Quote(string(text)) + ": want a number, or missing")
	}
	*d = fieldDefault(number)
	return nil
}

// UnmarshalYAML reads the field's keys, of which default is a number or a word.
func (f *FieldConfig) UnmarshalYAML(unmarshal func(any) error) error {
	var read struct {
		Name     string              `yaml:"name"`
		Type     string              `yaml:"type"`
		Default  *fieldDefault       `yaml:"default"`
		Where    map[string][]string `yaml:"where"`
		Count    *CountConfig        `yaml:"count"`
		Sum      *SumConfig          `yaml:"sum"`
		Mean     *MeanConfig         `yaml:"mean"`
		Last     *LastConfig         `yaml:"last"`
		Top      *TopConfig          `yaml:"top"`
		Distinct *DistinctConfig     `yaml:"distinct"`
	}
	err := unmarshal(&read)
	*f = FieldConfig{
		Name: read.Name, Type: read.Type, Default: (*float64)(read.Default), Where: read.Where,
		Count: read.Count, Sum: read.Sum, Mean: read.Mean, Last: read.Last, Top: read.Top, Distinct: read.Distinct,
	}
	return err
}

// shownDefault is a default as a configuration writes it.
func shownDefault(d float64) string {
	if math.IsNaN(d) {
		return MissingDefault
	}
	return fmt.Sprint(d)
}

// byDefault is the value of a key without one: Null where that is missing.
func (f *field) byDefault() pipeline.Value {
	if math.IsNaN(f.fallback) {
		return pipeline.Value{}
	}
	return pipeline.FloatValue(f.fallback)
}
