package main

func packed() {}
